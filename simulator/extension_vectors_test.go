package simulator

import (
	"bytes"
	"testing"

	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

// extensionVectors are the inputs and outputs of the vectors.
type extensionVectors struct {
	CredBlob struct {
		MakeCredentialInputCbor, MakeCredentialOutputCbor                         ctaptest.Hex
		GetAssertionInputCbor, GetAssertionOutputCbor, GetAssertionOutputNoneCbor ctaptest.Hex
	}
	LargeBlobKey                      struct{ InputCbor ctaptest.Hex }
	MinPinLength, PinComplexityPolicy struct{ InputCbor, OutputCbor ctaptest.Hex }
	ThirdPartyPayment                 struct{ InputCbor, GetAssertionOutputCbor ctaptest.Hex }
	LargeBlob                         struct {
		MakeCredentialInputCbor, UnsignedOutputCbor     ctaptest.Hex
		GetAssertionReadCbor, GetAssertionWriteCbor     ctaptest.Hex
		UnsignedReadOutputCbor, UnsignedWriteOutputCbor ctaptest.Hex
	}
}

// TestExtensionVectors reads the inputs and writes the outputs of the vectors.
func TestExtensionVectors(t *testing.T) {
	var v extensionVectors
	ctaptest.Vectors(t, "extensions", &v)
	a, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, e := range extensions {
		a.profile.GetInfo.Extensions = append(a.profile.GetInfo.Extensions, e.id)
	}
	a.state.device.MinPINLength, a.state.device.PINComplexityPolicy = 6, true
	a.state.device.MinPINLengthRPIDs = []string{"example.com"}
	c := &credential{}

	create := func(input []byte) outputs {
		t.Helper()
		f := &fault{}
		inputs := a.profile.decodeCreationInputs(item{raw: input, fault: f})
		r := &registration{creation: &creation{rk: true}, rpID: "example.com", credential: c}
		if len(inputs) != 1 || f.err != nil {
			t.Fatalf("%x: %d inputs, %v", input, len(inputs), f.err)
		}
		if err := inputs[0].create(a, r); err != nil {
			t.Fatal(err)
		}
		return r.outputs
	}
	assert := func(input []byte) outputs {
		t.Helper()
		f := &fault{}
		inputs := a.profile.decodeAssertionInputs(item{raw: input, fault: f})
		s := &signing{assertion: &assertion{listed: true}, credential: c}
		if len(inputs) != 1 || f.err != nil {
			t.Fatalf("%x: %d inputs, %v", input, len(inputs), f.err)
		}
		if err := inputs[0].assert(a, s); err != nil {
			t.Fatal(err)
		}
		for _, updated := range s.change.put {
			c = updated
		}
		return s.outputs
	}
	want := func(name string, output any, want []byte) {
		t.Helper()
		if got, err := ctapcbor.Marshal(output); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v, want %x", name, got, err, want)
		}
	}

	want("credBlob, none", assert(v.CredBlob.GetAssertionInputCbor).signed, v.CredBlob.GetAssertionOutputNoneCbor)
	want("credBlob", create(v.CredBlob.MakeCredentialInputCbor).signed, v.CredBlob.MakeCredentialOutputCbor)
	want("credBlob", assert(v.CredBlob.GetAssertionInputCbor).signed, v.CredBlob.GetAssertionOutputCbor)
	want("minPinLength", create(v.MinPinLength.InputCbor).signed, v.MinPinLength.OutputCbor)
	want("pinComplexityPolicy", create(v.PinComplexityPolicy.InputCbor).signed, v.PinComplexityPolicy.OutputCbor)
	create(v.ThirdPartyPayment.InputCbor)
	want("thirdPartyPayment", assert(v.ThirdPartyPayment.InputCbor).signed, v.ThirdPartyPayment.GetAssertionOutputCbor)
	if key := create(v.LargeBlobKey.InputCbor).largeBlobKey; !bytes.Equal(key, assert(v.LargeBlobKey.InputCbor).largeBlobKey) {
		t.Error("largeBlobKey: another key at the assertion")
	}
	want("largeBlob", create(v.LargeBlob.MakeCredentialInputCbor).unsigned, v.LargeBlob.UnsignedOutputCbor)
	want("largeBlob write", assert(v.LargeBlob.GetAssertionWriteCbor).unsigned, v.LargeBlob.UnsignedWriteOutputCbor)
	want("largeBlob read", assert(v.LargeBlob.GetAssertionReadCbor).unsigned, v.LargeBlob.UnsignedReadOutputCbor)
}
