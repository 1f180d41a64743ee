package u2f

// V2 is the one version of U2F that there is.
const V2 = "U2F_V2"

// Version asks for the version (FIDO U2F Raw Message Formats, section 6).
type Version struct{}

// Command returns the command.
func (Version) Command() (Command, error) { return Command{INS: InstructionVersion}, nil }

// VersionResponse is the answer to [Version].
type VersionResponse struct {
	Version string // [V2]
	Raw     []byte
}

// Parse takes any answer: what it means is up to the caller.
func (Version) Parse(data []byte) (*VersionResponse, error) {
	return &VersionResponse{Version: string(data), Raw: data}, nil
}
