package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

// selection is authenticatorSelection, CTAP 2.1 section 6.9.
func (a *Authenticator) selection(c *call) (*ctap2.Empty, error) {
	return nil, a.waitForTouch(c, "")
}
