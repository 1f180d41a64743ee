package entratest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"
)

const world = `{
  "users": [
    {"userPrincipalName": "sam@example.com", "displayName": "Sam", "groups": ["g1", "g2"], "passkeys": [
      {"credentialId": "AAECAw==", "displayName": "Blue", "aaGuid": "F1D0F1D0-0000-4000-8000-000000000001", "attested": true},
      {"credentialId": "AAEC", "displayName": "Phone", "synced": true, "createdDateTime": "2026-01-02T03:04:05Z", "model": "Phone"}]},
    {"id": "7", "userPrincipalName": "kim@example.com", "userType": "Guest"}],
  "strengths": [{"id": "s1", "displayName": "Keys", "combinationConfigurations": [{"allowedAAGUIDs": []}]}],
  "models": {"f1d0f1d0-0000-4000-8000-000000000001": {"name": "Acme", "attestationRootCertificates": ["ROOT"]}},
  "pageSize": 1
}`

func madeRoot(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// TestWorld: what a file says is in the tenant, and what it leaves out is made up.
func TestWorld(t *testing.T) {
	c, err := ParseConfig([]byte(strings.Replace(world, "ROOT", madeRoot(t), 1)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Models["f1d0f1d0-0000-4000-8000-000000000001"].Roots); n != 1 {
		t.Errorf("%d roots", n)
	}
	v := visit(t, c)
	const user = "/v1.0/users/sam@example.com"
	_, answer := v.ask("GET", user+"/authentication/fido2Methods", "")
	list := answer["value"].([]any)
	if m := list[0].(map[string]any); len(list) != 1 || m["model"] != "Acme" || m["aaGuid"] != "f1d0f1d0-0000-4000-8000-000000000001" || m["attestationLevel"] != "attested" || m["id"] != "AAECAw2" {
		t.Errorf("%v", list)
	}
	_, answer = v.ask("GET", user+"/authentication/fido2Methods/AAEC0", "")
	if answer["passkeyType"] != "synced" || answer["attestationLevel"] != "notAttested" || answer["createdDateTime"] != "2026-01-02T03:04:05Z" {
		t.Errorf("%v", answer)
	}
	if _, answer = v.ask("GET", "/v1.0/users/7", ""); answer["userType"] != "Guest" {
		t.Errorf("%v", answer)
	}
	if _, answer = v.ask("GET", user+"/transitiveMemberOf/microsoft.graph.group?$top=9", ""); answer["@odata.nextLink"] == nil {
		t.Errorf("%v", answer)
	}
	if ids := v.tenant.Registered("sam@example.com"); len(ids) != 2 || len(ids[0]) != 4 || len(ids[1]) != 3 {
		t.Errorf("%x", ids)
	}
	for name, bad := range map[string]string{
		"no JSON":        `{`,
		"unknown member": `{"user": []}`,
		"unknown detail": `{"users": [{"passkeys": [{"id": "AAEC0"}]}]}`,
		"root":           `{"models": {"x": {"attestationRootCertificates": ["AAAA"]}}}`,
		"page size":      `{"pageSize": -1}`,
		"sign-in":        `{"signIns": [7]}`,
		"model":          `{"models": {"x": {"title": "Acme"}}}`,
	} {
		if _, err := ParseConfig([]byte(bad)); err == nil {
			t.Errorf("%s is good", name)
		}
	}
}
