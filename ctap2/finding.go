package ctap2

import (
	"context"
	"fmt"

	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/transport"
)

// A Finding is something that a key did otherwise than the specification says,
// and that was tolerated. [transport.WithFindings] is how to get at them.
type Finding = transport.Finding

// nestingInAnswers is how deep authenticators nest maps and arrays: four levels
// (CTAP 2.1, section 8), and more in a compound attestation statement.
const nestingInAnswers = 8

// tolerate reports what is not canonical in the CBOR of an answer.
func tolerate(ctx context.Context, command Command, body []byte) {
	if err := ctapcbor.CheckCanonical(body, nestingInAnswers); err != nil {
		transport.Tolerate(ctx, Finding{What: err.Error(), Where: command.String(), Raw: body})
	}
}

// Missing reports a member that a key should have sent, by its name and number,
// and could do without.
func Missing(ctx context.Context, command Command, member string, raw []byte) {
	transport.Tolerate(ctx, Finding{What: fmt.Sprintf("%s is missing", member), Where: command.String(), Raw: raw})
}
