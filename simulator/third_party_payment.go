package simulator

const extensionThirdPartyPayment = "thirdPartyPayment"

// The thirdPartyPayment extension, CTAP 2.2 section 12.9, is a flag of a
// credential: others than its relying party may ask for payments with it.
type (
	thirdPartyPaymentCreation  struct{}
	thirdPartyPaymentAssertion struct{}
)

func decodeThirdPartyPaymentCreation(i item) creationInput {
	if !i.bool() {
		return nil
	}
	return thirdPartyPaymentCreation{}
}

// create sets the flag, without an output.
func (thirdPartyPaymentCreation) create(_ *Authenticator, r *registration) error {
	r.credential.ThirdPartyPayment = true
	return nil
}

func decodeThirdPartyPaymentAssertion(i item) assertionInput {
	if !i.bool() {
		return nil
	}
	return thirdPartyPaymentAssertion{}
}

func (thirdPartyPaymentAssertion) assert(_ *Authenticator, s *signing) error {
	s.outputs.sign(extensionThirdPartyPayment, s.credential.ThirdPartyPayment)
	return nil
}
