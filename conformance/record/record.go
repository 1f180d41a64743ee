// Package record has what a run of package conformance found out: as lines of
// JSON that are written while it runs and read again, as JUnit XML and as a page.
// Reports can be merged, compared, and held against a baseline of what is known.
package record

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/fidokey/fidokey/conformance"
)

// Version is that of the lines. Members may be added within a version.
const Version = 1

// Outcomes of a [Result].
const (
	Pass          = "pass"
	Warning       = "warning"
	Fail          = "fail"
	Known         = "known" // fails as the baseline says that this model does
	NotApplicable = "notApplicable"
)

var outcomes = map[conformance.Outcome]string{
	conformance.Pass: Pass, conformance.Warning: Warning, conformance.Fail: Fail, conformance.NotApplicable: NotApplicable,
}

// A Report is a run with all that it found.
type Report struct {
	Run     Run
	Results []Result
	Summary Summary

	index map[string]*Result // by ID, when it was asked for
}

// A Run says what was run, and on which key.
type Run struct {
	Type     string    `json:"type"` // "run"
	Report   int       `json:"report"`
	Started  time.Time `json:"started"`
	Key      Key       `json:"key"`
	Released bool      `json:"released"` // the key could be reset
	Cases    int       `json:"cases"`    // that were chosen
	Shard    string    `json:"shard,omitempty"`
	Tool     string    `json:"tool,omitempty"` // the version of the program
	Seed     string    `json:"seed,omitempty"` // of the random bytes of the cases
}

// A Key is the one that was tested, as it says itself.
type Key struct {
	Name     string   `json:"name,omitempty"`
	Path     string   `json:"path,omitempty"`
	Profile  string   `json:"simulatorProfile,omitempty"`
	AAGUID   string   `json:"aaguid,omitempty"`
	Firmware *uint64  `json:"firmwareVersion,omitempty"`
	Versions []string `json:"versions,omitempty"`
}

// String names the model and its firmware.
func (k Key) String() string {
	text := k.Name
	if text == "" {
		text = k.Path
	}
	if k.Profile != "" {
		text += " (" + k.Profile + ")"
	}
	if k.AAGUID != "" {
		text += ", AAGUID " + k.AAGUID
	}
	if k.Firmware != nil {
		text += fmt.Sprintf(", firmware %d", *k.Firmware)
	}
	return text
}

// sameModel reports whether two keys are of one model with one firmware.
func (k Key) sameModel(other Key) bool {
	return k.AAGUID == other.AAGUID && k.Profile == other.Profile && (k.Firmware == nil) == (other.Firmware == nil) &&
		(k.Firmware == nil || *k.Firmware == *other.Firmware)
}

// A Result is that of a case, or of one of its parts.
type Result struct {
	Type    string  `json:"type"` // "result"
	Case    string  `json:"case"`
	Part    string  `json:"part,omitempty"`
	Outcome string  `json:"outcome"`
	Variant string  `json:"variant,omitempty"` // of the simulator, that it played
	Title   string  `json:"title"`
	Section Section `json:"section"`
	// Profile, Needs and Words are as in conformance.Case.
	Profile string   `json:"profile"`
	Needs   string   `json:"needs"`
	Words   []string `json:"words,omitempty"`
	// Expected is what must come back, in words; the answers in it are Accepted
	// and Tolerated.
	Expected  string   `json:"expected"`
	Accepted  []string `json:"accepted,omitempty"`
	Tolerated []string `json:"tolerated,omitempty"`
	AnyError  bool     `json:"anyError,omitempty"`

	Reason   string    `json:"reason,omitempty"` // why it is no pass
	Observed []string  `json:"observed,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
	Began    time.Time `json:"began"`
	TookMS   float64   `json:"tookMs"`
	Messages []Message `json:"messages,omitempty"`
	LeftOut  int       `json:"messagesLeftOut,omitempty"`
	Repeat   string    `json:"repeat,omitempty"` // the command line for this case alone
}

// A Section is where a specification says so.
type Section struct {
	Document string `json:"document"`
	Number   string `json:"number"`
	Title    string `json:"title"`
}

func (s Section) String() string {
	return fmt.Sprintf("%s, section %s, %s", s.Document, s.Number, s.Title)
}

// A Message is what was sent or came back.
type Message struct {
	AtMS       float64 `json:"atMs"` // since the case began
	From       string  `json:"from"` // "host" or "key"
	Door       string  `json:"door"` // "hid", "report", "nfc"
	Name       string  `json:"name"`
	Channel    string  `json:"channel,omitempty"` // of CTAPHID
	Bytes      int     `json:"bytes"`
	Hex        string  `json:"hex"` // the first of the bytes, if there are very many
	Diagnostic string  `json:"diagnostic,omitempty"`
	Times      int     `json:"times"` // in a row
}

// A Summary counts cases, without their parts.
type Summary struct {
	Type          string  `json:"type"` // "summary"
	Pass          int     `json:"pass"`
	Warning       int     `json:"warning"`
	Fail          int     `json:"fail"`
	Known         int     `json:"known"`
	NotApplicable int     `json:"notApplicable"`
	TookMS        float64 `json:"tookMs"`
	// Complete is false when the run ended before all cases had their turn.
	Complete bool `json:"complete"`
	// Baseline are entries of the baseline that fail no more.
	Baseline []string `json:"fixedInBaseline,omitempty"`
}

// Ran is how many cases were applicable.
func (s Summary) Ran() int { return s.Pass + s.Warning + s.Fail + s.Known }

func (s Summary) String() string {
	text := fmt.Sprintf("%d pass, %d warning, %d fail", s.Pass, s.Warning, s.Fail)
	if s.Known > 0 {
		text += fmt.Sprintf(", %d known", s.Known)
	}
	return text + fmt.Sprintf(", %d not applicable", s.NotApplicable)
}

// most is how much is reported of a case: the first and the last messages, and how
// much of each.
type most struct{ first, last, bytes, diagnostic int }

var (
	mostOfFailure = most{20, 60, 2048, 8192}
	mostOfOthers  = most{4, 8, 512, 2048}
)

// From is what is reported of a result. Of parts that pass the messages are left
// out: their case has them.
func From(r *conformance.Result) Result {
	c, answers, section := r.Case, r.Case.Answers(), r.Case.Section()
	result := Result{
		Type: "result", Case: c.ID, Part: r.Part, Outcome: outcomes[r.Outcome], Variant: r.Variant, Title: c.Title,
		Section: Section{section.Document, section.Number, section.Title}, Profile: c.Profile, Needs: c.Needs, Words: c.Words,
		Expected: c.Expected, Accepted: answers.Accepted, Tolerated: answers.Tolerated, AnyError: answers.AnyError,
		Reason: r.Reason, Observed: r.Observed, Notes: r.Notes, Began: r.Began, TookMS: milliseconds(r.Took),
	}
	if r.Outcome == conformance.NotApplicable || r.Outcome == conformance.Pass && r.Part != "" {
		return result
	}
	limit := mostOfOthers
	if r.Outcome == conformance.Fail {
		limit = mostOfFailure
	}
	result.LeftOut = r.LeftOut
	for i, m := range r.Messages {
		if i >= limit.first && i < len(r.Messages)-limit.last {
			result.LeftOut++
			continue
		}
		result.Messages = append(result.Messages, fromMessage(&m, limit))
	}
	return result
}

func fromMessage(m *conformance.Message, limit most) Message {
	message := Message{
		AtMS: milliseconds(m.At), From: "host", Door: string(m.Door), Name: m.Name(), Bytes: len(m.Data),
		Hex: hex.EncodeToString(m.Data[:min(len(m.Data), limit.bytes)]), Times: m.Times,
	}
	if m.FromKey {
		message.From = "key"
	}
	if m.Door == conformance.DoorHID {
		message.Channel = fmt.Sprintf("%08x", m.Channel)
	}
	if text := m.Diagnostic(); len(text) <= limit.diagnostic {
		message.Diagnostic = text
	}
	return message
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ID is the identifier, with the part.
func (r *Result) ID() string {
	if r.Part == "" {
		return r.Case
	}
	return r.Case + "/" + r.Part
}

// Group is the part of the identifier before the number.
func (r *Result) Group() string { return r.Case[:len(r.Case)-len("-000")] }

// Count makes the summary anew; how long it took, and whether it is complete, stay.
func (r *Report) Count() {
	s := Summary{Type: "summary", TookMS: r.Summary.TookMS, Complete: r.Summary.Complete, Baseline: r.Summary.Baseline}
	for i := range r.Results {
		s.Add(&r.Results[i])
	}
	r.Summary = s
}

// Add counts a result; parts are counted with their case.
func (s *Summary) Add(r *Result) {
	if r.Part != "" {
		return
	}
	*map[string]*int{Pass: &s.Pass, Warning: &s.Warning, Fail: &s.Fail, Known: &s.Known, NotApplicable: &s.NotApplicable}[r.Outcome]++
}

// Failures are the results that fail, of cases that are divided those of the parts
// that do.
func (r *Report) Failures() (failed []*Result) {
	leaves := r.leaves()
	for i := range r.Results {
		if result := &r.Results[i]; result.Outcome == Fail && leaves[result.ID()] != nil {
			failed = append(failed, result)
		}
	}
	return failed
}

// result finds a result by its ID, or nil.
func (r *Report) result(id string) *Result {
	for i := range r.Results {
		if r.Results[i].ID() == id {
			return &r.Results[i]
		}
	}
	return nil
}

// splitID takes the part off an identifier.
func splitID(id string) (caseID, part string) {
	caseID, part, _ = strings.Cut(id, "/")
	return caseID, part
}
