package record

import (
	"fmt"
	"strings"
)

// mostShown is how many of the last messages Details has.
const mostShown = 8

// Details are for people: what the case is, what was expected and what came, the
// last messages, and the line that repeats it.
func (r *Result) Details() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.ID(), r.Title)
	fmt.Fprintf(&b, "  must be:  %s\n", r.Expected)
	if r.Reason != "" {
		fmt.Fprintf(&b, "  was:      %s\n", indent(r.Reason))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "  note:     %s\n", indent(n))
	}
	fmt.Fprintf(&b, "  says so:  %s\n", r.Section)
	if hidden := len(r.Messages) - mostShown + r.LeftOut; hidden > 0 {
		fmt.Fprintf(&b, "  ... %d messages before\n", hidden)
	}
	for _, m := range r.Messages[max(0, len(r.Messages)-mostShown):] {
		b.WriteString("  " + indent(m.String()) + "\n")
	}
	if r.Repeat != "" {
		fmt.Fprintf(&b, "  again:    %s\n", r.Repeat)
	}
	return b.String()
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

// Headline is a line about the message.
func (m *Message) Headline() string {
	direction := "-> "
	if m.From == "key" {
		direction = "<- "
	}
	text := fmt.Sprintf("%s%s, %d bytes, %.0f ms", direction, m.Name, m.Bytes, m.AtMS)
	if m.Times > 1 {
		text += fmt.Sprintf(", %d times", m.Times)
	}
	return text
}

// HexText is the hex, with a mark where bytes are left out.
func (m *Message) HexText() string {
	if len(m.Hex) < 2*m.Bytes {
		return m.Hex + "..."
	}
	return m.Hex
}

// BytesText is the hex, and the diagnostic notation of what is CBOR.
func (m *Message) BytesText() string {
	if m.Diagnostic == "" {
		return m.HexText()
	}
	return m.HexText() + "\n" + m.Diagnostic
}

func (m *Message) String() string {
	return m.Headline() + "\n     " + strings.ReplaceAll(m.BytesText(), "\n", "\n     ")
}
