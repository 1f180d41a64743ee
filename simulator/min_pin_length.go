package simulator

// Two extensions tell the relying parties on a list how good a PIN must be. For
// others they have no output (CTAP 2.1, section 12.4; CTAP 2.2, section 12.6).
const (
	extensionMinPINLength        = "minPinLength"
	extensionPINComplexityPolicy = "pinComplexityPolicy"
)

type (
	minPINLengthInput        struct{}
	pinComplexityPolicyInput struct{}
)

func decodeMinPINLength(i item) creationInput {
	if !i.bool() {
		return nil
	}
	return minPINLengthInput{}
}

func (minPINLengthInput) create(a *Authenticator, r *registration) error {
	if a.tellsPINPolicyTo(r.rpID) {
		r.outputs.sign(extensionMinPINLength, a.minPINLength())
	}
	return nil
}

func decodePINComplexityPolicy(i item) creationInput {
	if !i.bool() {
		return nil
	}
	return pinComplexityPolicyInput{}
}

func (pinComplexityPolicyInput) create(a *Authenticator, r *registration) error {
	if a.tellsPINPolicyTo(r.rpID) {
		r.outputs.sign(extensionPINComplexityPolicy, a.pinComplexityPolicy())
	}
	return nil
}
