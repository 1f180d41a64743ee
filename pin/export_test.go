package pin

// What the known-answer tests need to see or to fix.
var (
	EncapsulateWith = encapsulate
	Padded          = padded
	Hash            = hash
	OpenToken       = openToken
)

func (s *Secret) EncryptWithIV(plain, iv []byte) ([]byte, error) { return s.encrypt(plain, iv) }

func (s *Secret) Bytes() []byte {
	if s.protocol == One {
		return s.hmacKey
	}
	return append(s.hmacKey[:32:32], s.aesKey...)
}
