package webauthn

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// An origin is where a page comes from, as HTML has it.
type origin struct{ scheme, host, port string } // the port is empty for the scheme's own

// parseOrigin reads an origin and puts it into the form that browsers give it:
// ASCII, lower case, without the port that goes without saying.
func parseOrigin(text string) (origin, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return origin{}, refuse("SecurityError", "%q is not an origin: scheme, host and perhaps a port, as in https://login.microsoft.com", text)
	}
	o := origin{scheme: u.Scheme, host: u.Hostname(), port: u.Port()}
	if !o.isAddress() {
		if o.host, err = idna.Lookup.ToASCII(o.host); err != nil {
			return origin{}, refuse("SecurityError", "the host of %q is no domain: %v", text, err)
		}
	}
	if o.scheme == "https" && o.port == "443" || o.scheme == "http" && o.port == "80" {
		o.port = ""
	}
	return o, nil
}

func (o origin) String() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port != "" {
		host += ":" + o.port
	}
	return o.scheme + "://" + host
}

// isAddress reports whether the host is an IP address, which is no domain.
func (o origin) isAddress() bool {
	_, err := netip.ParseAddr(o.host)
	return err == nil
}

func (o origin) isLocalhost() bool {
	return o.host == "localhost" || strings.HasSuffix(o.host, ".localhost")
}

// trustworthy returns an error for a page that may not use WebAuthn: it is open to
// whoever is on the way.
func (o origin) trustworthy(insecureLocalhost bool) error {
	switch {
	case o.scheme == "https":
		return nil
	case o.scheme == "http" && o.isLocalhost() && insecureLocalhost:
		return nil
	case o.scheme == "http" && o.isLocalhost():
		return refuse("SecurityError", "the origin %v is not https: http://localhost has to be allowed expressly", o)
	}
	return refuse("SecurityError", "the origin %v is not https", o)
}

// effectiveDomain returns the host if it is a domain.
func (o origin) effectiveDomain() (string, error) {
	if o.isAddress() {
		return "", refuse("SecurityError", "the origin %v has an address for a host, and an RP ID is a domain", o)
	}
	return o.host, nil
}

// CheckRPID returns an error for a text that is no RP ID: a domain as it stands in
// an origin, in ASCII and lower case.
func CheckRPID(id string) error {
	ascii, err := idna.Lookup.ToASCII(id)
	switch {
	case id == "" || strings.ContainsAny(id, "/:@ ") || err != nil:
	case ascii != id && ascii != strings.ToLower(id):
		return refuse("SecurityError", "%q is not an RP ID: in ASCII this domain is %s", id, ascii)
	case ascii == id:
		return nil
	}
	return refuse("SecurityError", "%q is not an RP ID: it is a host name in lower case, as in login.microsoft.com", id)
}

// mayUse reports whether rpID is equal to the domain or a registrable domain suffix
// of it (HTML, "is a registrable domain suffix of or is equal to").
func mayUse(domain, rpID string) bool {
	if rpID == domain {
		return true
	}
	if !strings.HasSuffix(domain, "."+rpID) {
		return false
	}
	// Neither "com" nor "github.io", whose subdomains belong to different people.
	suffix := publicSuffix(domain)
	return rpID != publicSuffix(rpID) && !strings.HasSuffix("."+suffix, "."+rpID)
}

// publicSuffix keeps the dot that stands at the end of some names.
func publicSuffix(domain string) string {
	bare := strings.TrimSuffix(domain, ".")
	suffix, _ := publicsuffix.PublicSuffix(bare)
	return suffix + domain[len(bare):]
}

// site is the registrable domain of a host: that what its owner has registered.
// It is empty for a public suffix.
func site(domain string) string {
	registrable, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return ""
	}
	return registrable
}

// mayUseAppID is the part of the AppID and FacetID verification of U2F that
// browsers carry out: they ask no server for its list of facets, but take an AppID
// of the same site (WebAuthn Level 3, section 10.1.1). An empty AppID is the origin
// itself.
func (o origin) mayUseAppID(appID string) (string, error) {
	if appID == "" {
		return o.String(), nil
	}
	u, err := url.Parse(appID)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", refuse("SecurityError", "%q is not an AppID: it is a URL, as in https://example.com/u2f.json", appID)
	}
	switch same := site(o.host); {
	case o.scheme != "https":
	case u.Hostname() == o.host, same != "" && same == site(u.Hostname()):
		return appID, nil
	case same == "google.com" && (appID == googleAppID || appID == googleOtherAppID):
		return appID, nil // both Chromium and Firefox make this exception
	}
	return "", refuse("SecurityError", "the origin %v may not use the AppID %s, which is of another site", o, appID)
}

const (
	googleAppID      = "https://www.gstatic.com/securitykey/origins.json"
	googleOtherAppID = "https://www.gstatic.com/securitykey/a/google.com/origins.json"
)
