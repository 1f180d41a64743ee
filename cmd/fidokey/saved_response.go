package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

// saveRegistration saves a RegistrationResponseJSON.
func saveRegistration(path string, r *webauthn.RegistrationResponse) error {
	saved := *r
	saved.ClientExtensionResults = withoutSecrets(r.ClientExtensionResults)
	return writeNewJSON(path, &saved)
}

// A savedAssertion is the file of "authenticate --response": an
// AuthenticationResponseJSON, and what was asked for in a member of its own.
type savedAssertion struct {
	*webauthn.AuthenticationResponse
	Request request `json:"request"`
}

// saveAssertion saves an assertion for "verify".
func saveAssertion(path string, r *webauthn.AuthenticationResponse, asked request) error {
	saved := *r
	saved.ClientExtensionResults = withoutSecrets(r.ClientExtensionResults)
	return writeNewJSON(path, savedAssertion{&saved, asked})
}

// withoutSecrets leaves out what must not lie in a file: whoever has it opens
// what it was made to lock.
func withoutSecrets(results map[string]any) map[string]any {
	results = maps.Clone(results)
	delete(results, resultHMACGetSecret)
	if prf, ok := results[resultPRF].(map[string]any); ok {
		prf = maps.Clone(prf)
		delete(prf, "results")
		results[resultPRF] = prf
	}
	return results
}

// readFile reads a file, or standard input for "-".
func (e *env) readFile(path string) ([]byte, error) {
	in, err := e.openInput(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(in)
}

// openInput opens a file to be read, or standard input for "-".
func (e *env) openInput(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(e.stdin), nil
	}
	return openFile(path)
}

// openFile is os.Open for who only reads, and need not look whether Close fails.
func openFile(path string) (io.ReadCloser, error) { return os.Open(path) }

// notAsExpected says in words of JSON what the error of a decoder says in those of
// Go.
func notAsExpected(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("a %s stands where something else belongs", strings.Join(strings.Fields(wrong.Value+" "+wrong.Field), " for "))
	}
	return err
}

// resultOf takes the result out of an answer of --json; other text stays.
func resultOf(text []byte) []byte {
	var a struct {
		Fidokey int
		Result  json.RawMessage
	}
	if json.Unmarshal(text, &a) == nil && a.Fidokey != 0 && a.Result != nil {
		return a.Result
	}
	return text
}

// loadRegistration reads what saveRegistration, or "register --json", wrote, or
// any RegistrationResponseJSON.
func loadRegistration(path string) (*webauthn.RegistrationResponse, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r webauthn.RegistrationResponse
	if err = json.Unmarshal(resultOf(text), &r); err == nil {
		_, _, err = r.Credential()
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a RegistrationResponseJSON as 'fidokey register' saves it: %w", path, notAsExpected(err))
	}
	return &r, nil
}

// loadRegistrations reads several.
func loadRegistrations(paths []string) (all []*webauthn.RegistrationResponse, err error) {
	for _, path := range paths {
		r, err := loadRegistration(path)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// listOf names the credentials of registrations.
func listOf(registrations []*webauthn.RegistrationResponse) (list webauthn.CredentialList) {
	for _, r := range registrations {
		list = append(list, webauthn.CredentialDescriptor{Type: ctap2.PublicKeyType, ID: r.RawID, Transports: r.Response.Transports})
	}
	return list
}
