package entratest

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
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

// token gives a token for client credentials or a device code.
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
		secret := r.PostFormValue("client_secret")
		if secret == "" || secret != t.config.Secret {
			return oauthError("invalid_client", "the client secret is wrong")
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
	default:
		return oauthError("unsupported_grant_type", "client_credentials and device_code only")
	}
	value := "stand-in." + hex.EncodeToString(random(24))
	t.tokens[value] = t.config.TokenScopes
	t.counts["token"]++
	return http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": value,
		"scope": r.PostFormValue("scope"),
	}
}

// isDefault is true for the scope that means all that the application has.
func isDefault(scope string) bool { return strings.HasSuffix(scope, "/.default") }

func oauthError(code, description string) (int, any) {
	return http.StatusBadRequest, map[string]any{"error": code, "error_description": description}
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
