package entratest

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// openID tells where tokens are got.
func (t *Tenant) openID(w http.ResponseWriter, r *http.Request) {
	root := "https://" + r.Host + "/" + r.PathValue("tenant")
	t.write(w, r, http.StatusOK, map[string]any{
		"issuer": root + "/v2.0", "token_endpoint": root + "/oauth2/v2.0/token",
		"authorization_endpoint": root + "/oauth2/v2.0/authorize", "device_authorization_endpoint": root + "/oauth2/v2.0/devicecode",
		"jwks_uri": root + "/discovery/v2.0/keys",
	})
}

// token gives a token for client credentials, a device code or a refresh token.
func (t *Tenant) token(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	status, body := t.grant(r)
	t.mu.Unlock()
	t.write(w, r, status, body)
}

func (t *Tenant) grant(r *http.Request) (int, any) {
	if t.config.Client == "" || r.PostFormValue("client_id") != t.config.Client || r.PathValue("tenant") != t.config.Tenant {
		return oauthError("unauthorized_client", "the tenant or the application is unknown")
	}
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
		if err := t.proves(r); err != nil {
			return oauthError("invalid_client", err.Error())
		}
		if !slices.ContainsFunc(strings.Fields(r.PostFormValue("scope")), isDefault) {
			return oauthError("invalid_scope", "client credentials take the scope /.default")
		}
	case "urn:ietf:params:oauth:grant-type:device_code", "device_code":
		agreed, known := t.codes[r.PostFormValue("device_code")]
		if !known {
			return oauthError("bad_verification_code", "the device code is unknown")
		}
		if !agreed {
			return oauthError("authorization_pending", "the person has not signed in yet")
		}
		delete(t.codes, r.PostFormValue("device_code"))
	case "refresh_token":
		if !t.refreshes[r.PostFormValue("refresh_token")] {
			return oauthError("invalid_grant", "the refresh token is unknown")
		}
	default:
		return oauthError("unsupported_grant_type", "client_credentials, device_code and refresh_token only")
	}
	value := "stand-in." + hex.EncodeToString(random(24))
	t.tokens[value] = t.config.TokenScopes
	t.counts["token"]++
	answer := map[string]any{
		"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": value,
		"scope": r.PostFormValue("scope"),
	}
	if r.PostFormValue("grant_type") != "client_credentials" && slices.Contains(strings.Fields(r.PostFormValue("scope")), "offline_access") {
		refresh := "stand-in.refresh." + hex.EncodeToString(random(24))
		t.refreshes[refresh], answer["refresh_token"] = true, refresh
	}
	return http.StatusOK, answer
}

// proves judges what a program shows to be the application: its secret, or a statement
// that the key of one of its certificates has signed (RFC 7523).
func (t *Tenant) proves(r *http.Request) error {
	text := r.PostFormValue("client_assertion")
	if text == "" {
		if secret := r.PostFormValue("client_secret"); secret == "" || secret != t.config.Secret {
			return errors.New("the client secret is wrong")
		}
		return nil
	}
	if r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return errors.New("client_assertion_type is not that of a JWT")
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256, jose.PS256})
	if err != nil {
		return err
	}
	certificate := t.certificateOf(token)
	if certificate == nil {
		return errors.New("no certificate of the application has the thumbprint x5t#S256")
	}
	var claims jwt.Claims
	if err := token.Claims(certificate.PublicKey, &claims); err != nil {
		return err
	}
	here := "https://" + r.Host + r.URL.Path
	expected := jwt.Expected{Issuer: t.config.Client, Subject: t.config.Client, AnyAudience: jwt.Audience{here}, Time: t.now()}
	if err := claims.Validate(expected); err != nil {
		return err
	}
	if claims.Expiry == nil || claims.ID == "" || t.assertions[claims.ID] {
		return errors.New("the assertion has no end or no ID, or was used before")
	}
	t.assertions[claims.ID] = true
	return nil
}

// certificateOf finds the one that a statement names: in standard base64, as Microsoft's
// libraries write it, though RFC 7515 says base64url.
func (t *Tenant) certificateOf(token *jwt.JSONWebToken) *x509.Certificate {
	for _, c := range t.config.Certificates {
		thumbprint := sha256.Sum256(c.Raw)
		if len(token.Headers) == 1 && token.Headers[0].ExtraHeaders["x5t#S256"] == base64.StdEncoding.EncodeToString(thumbprint[:]) {
			return c
		}
	}
	return nil
}

// isDefault is true for the scope that means all that the application has.
func isDefault(scope string) bool { return strings.HasSuffix(scope, "/.default") }

func oauthError(code, description string) (int, any) {
	return http.StatusBadRequest, map[string]any{"error": code, "error_description": description}
}

// device is the page where the person behind a device code signs in, which here is one
// click.
func (t *Tenant) device(w http.ResponseWriter, r *http.Request) {
	text := "<form method=post><p>A stand-in for the sign-in.</p><button>Sign in</button></form>"
	if r.Method == http.MethodPost {
		t.Agree()
		text = "<p>You are signed in.</p>"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!DOCTYPE html><title>Stand-in</title>%s", text)
}

// deviceCode begins the sign-in of a person, who agrees with Agree.
func (t *Tenant) deviceCode(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	code := hex.EncodeToString(random(16))
	t.codes[code] = false
	t.mu.Unlock()
	t.write(w, r, http.StatusOK, map[string]any{
		"device_code": code, "user_code": "STANDIN1", "verification_uri": "https://" + r.Host + "/device", "expires_in": 900, "interval": 1,
		"message": "To sign in, open https://" + r.Host + "/device and enter the code STANDIN1.",
	})
}
