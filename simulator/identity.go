package simulator

// persistentToken returns persistentPinUvAuthToken, CTAP 2.2 section 6.5.2.3: it
// reads the list of credentials, survives power-off, and is made when it is
// first asked for.
func (a *Authenticator) persistentToken() ([]byte, error) {
	if token := a.state.device.PersistentToken; token != nil {
		return token, nil
	}
	c := change{device: a.state.device}
	var err error
	if c.device.PersistentToken, err = a.random(tokenSize); err != nil {
		return nil, err
	}
	return c.device.PersistentToken, a.state.commit(c)
}
