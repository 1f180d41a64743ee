package metadata

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// revocation asks the lists that the certificates of a path name. Where a list
// cannot be had nothing is known, which is no failure: MDS leaves that open, and
// who can keep a list from us can keep the BLOB from us too.
func (v Verifier) revocation(verdict *Verdict, path []*x509.Certificate) {
	if v.CRL == nil {
		verdict.add(CheckRevocation, NotChecked, "unknown: nobody was asked")
		return
	}
	var unknown []string
	for i, c := range path[:len(path)-1] { // but the root
		at, err := v.revoked(c, path[i+1])
		switch {
		case err != nil:
			unknown = append(unknown, fmt.Sprintf("%s: %v", NameOf(c), err))
		case !at.IsZero():
			verdict.add(CheckRevocation, Failed, "%s was revoked on %s", NameOf(c), at.Format(time.DateOnly))
			return
		}
	}
	if unknown != nil {
		verdict.add(CheckRevocation, NotChecked, "unknown: %s", strings.Join(unknown, "; "))
		return
	}
	verdict.add(CheckRevocation, Passed, "none of %d certificates", len(path)-1)
}

// revoked returns when a certificate was revoked; the zero time if it is not.
func (v Verifier) revoked(c, issuer *x509.Certificate) (time.Time, error) {
	err := errors.New("it names no list")
	for _, address := range c.CRLDistributionPoints {
		var list *x509.RevocationList
		if list, err = v.list(address, issuer); err != nil {
			continue
		}
		for _, r := range list.RevokedCertificateEntries {
			if r.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return r.RevocationTime, nil
			}
		}
		return time.Time{}, nil
	}
	return time.Time{}, err
}

// list gets a list that its issuer has signed and that is not out of date.
func (v Verifier) list(address string, issuer *x509.Certificate) (*x509.RevocationList, error) {
	data, err := v.CRL(address)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(data)
	if err == nil {
		err = list.CheckSignatureFrom(issuer)
	}
	if err == nil && v.Now.After(list.NextUpdate) {
		err = fmt.Errorf("its list is out of date since %s", list.NextUpdate.Format(time.DateOnly))
	}
	return list, err
}
