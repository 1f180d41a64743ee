package webauthn

var (
	MayUse   = mayUse
	Lifetime = lifetime
	IDs      = credentialIDs
)

// Canonical is an origin as it stands in client data.
func Canonical(text string) (string, error) {
	o, err := parseOrigin(text)
	return o.String(), err
}

// AppIDFor is what an origin gets for an AppID.
func AppIDFor(from, appID string) (string, error) {
	o, err := parseOrigin(from)
	if err != nil {
		return "", err
	}
	return o.mayUseAppID(appID)
}

// Related is the related origins validation procedure.
func Related(from string, document []byte) (bool, error) {
	o, err := parseOrigin(from)
	if err != nil {
		return false, err
	}
	return related(o, document)
}
