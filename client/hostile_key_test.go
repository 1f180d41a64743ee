package client_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/internal/hostiletest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

var (
	hostileSeed   = flag.Uint64("hostile.seed", 0, "the first seed of TestHostileKey")
	hostileTrials = flag.Uint64("hostile.trials", 80, "how many seeds each flow is tried with")
)

const (
	// hostileMemory is how much a flow may need beyond what was there before, in
	// bytes.
	hostileMemory = 64 << 20
	// hostileExchanges is how many a flow may have at the most. The longest is a list
	// of credentials, which is read twice if it ends early.
	hostileExchanges = 45_000
)

// hostileProfiles are the keys that turn hostile.
var hostileProfiles = []string{"ctap-2.3", "fingerprint", "ctap-2.0", "ctap-2.1", "preview", "u2f", "variant-largeblob", "nfc-card"}

// A hostileKey is a simulated key whose answers are what a temper makes of them. It
// watches what the client does about it.
type hostileKey struct {
	t      *testing.T
	name   string
	person *forgetful
	temper func(ctx context.Context, request, answer []byte) []byte
	asked  int
	memory *memory
	// overHID means that the context of an exchange is the door's.
	overHID bool

	told     *ctap2.ClientPINResponse // what was last said of the tries
	promptOf int                      // the PIN that was sent last, by its number
	sent     int                      // how often
	toldThen *ctap2.ClientPINResponse
	refusal  byte // how the last one was answered
}

func (h *hostileKey) errorf(format string, args ...any) {
	h.t.Helper()
	h.t.Errorf("%s: %s", h.name, fmt.Sprintf(format, args...))
}

// answer is simulator.Config.Answers.
func (h *hostileKey) answer(ctx context.Context, request, answer []byte) []byte {
	if h.asked++; h.asked > hostileExchanges {
		panic("the client does not stop asking")
	}
	if at, ok := ctx.Deadline(); !h.overHID && (!ok || time.Until(at) > client.DefaultTimeout) {
		h.errorf("exchange %d has no deadline", h.asked)
	}
	h.memory.watch(false)
	answer = h.temper(ctx, request, answer)
	h.judgePIN(ctx, request, answer)
	return answer
}

// judgePIN holds the client to its rule: a PIN that was entered is sent once, and
// only to a key that said that enough tries are left; and again under another
// protocol if the key did not take the first message and says that it cost nothing.
func (h *hostileKey) judgePIN(ctx context.Context, request, answer []byte) {
	var req struct {
		SubCommand ctap2.PINSubCommand `cbor:"2,keyasint"`
	}
	if len(request) < 2 || request[0] != byte(ctap2.CommandClientPIN) || ctapcbor.Unmarshal(request[1:], &req) != nil {
		return
	}
	switch req.SubCommand {
	case ctap2.GetPINRetries:
		h.told = new(ctap2.ClientPINResponse)
		if ctap2.Decode(context.Background(), answer, ctap2.CommandClientPIN, h.told) != nil {
			h.told = nil
		}
	case ctap2.ChangePIN, ctap2.GetPINToken, ctap2.GetPINUVAuthTokenUsingPINWithPermissions:
		again := h.promptOf == h.person.prompts
		if !again {
			h.promptOf, h.sent, h.toldThen = h.person.prompts, 0, h.told
		}
		h.sent++
		told := h.told
		switch {
		case told == nil || told.PINRetries == nil || *told.PINRetries < client.DefaultMinRetries || told.PowerCycleState != nil && *told.PowerCycleState:
			h.errorf("exchange %d: a PIN is tried on a key that says %+v of its tries", h.asked, saidOf(told))
		case h.sent > 2:
			h.errorf("exchange %d: one PIN is tried %d times", h.asked, h.sent)
		case again && (h.refusal != byte(ctap2.ErrPINAuthInvalid) && h.refusal != byte(ctap2.ErrInvalidParameter) || told == h.toldThen || *told.PINRetries != *h.toldThen.PINRetries):
			h.errorf("exchange %d: a PIN is tried again after %#02x, the tries are %+v", h.asked, h.refusal, saidOf(told))
		}
		h.refusal = 0xff
		if len(answer) > 0 {
			h.refusal = answer[0]
		}
	}
}

// saidOf is what a key said of its tries.
func saidOf(r *ctap2.ClientPINResponse) string {
	if r == nil {
		return "nothing that can be read"
	}
	return fmt.Sprintf("%x", r.Raw)
}

// memory is how much of it a flow needs. Between two looks all counts that was
// allocated, so that nothing escapes.
type memory struct {
	base, live  uint64 // bytes
	allocations uint64 // when live was measured
	most        uint64
}

func newMemory() *memory {
	m := &memory{}
	m.watch(true)
	m.base, m.most = m.live, m.live
	return m
}

// watch looks, and collects garbage if that may change the answer.
func (m *memory) watch(sure bool) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples[:1])
	now := samples[0].Value.Uint64()
	since := now - m.allocations
	m.most = max(m.most, m.live+since)
	if since > 8<<20 || sure {
		runtime.GC()
		metrics.Read(samples)
		m.allocations, m.live = samples[0].Value.Uint64(), samples[1].Value.Uint64()
	}
}

func (m *memory) needed() uint64 { return m.most - min(m.most, m.base) }

// A temper is how a key is hostile.
type temper func(h *hostileKey) func(ctx context.Context, request, answer []byte) []byte

// thrown is a key whose answers are what dice say.
func thrown(dice hostiletest.Dice) temper {
	return func(*hostileKey) func(ctx context.Context, request, answer []byte) []byte {
		return func(ctx context.Context, request, answer []byte) []byte {
			switch dice.IntN(4) {
			case 1:
				return hostiletest.Spoil(dice, answer)
			case 2:
				if dice.IntN(50) == 49 {
					flood(ctx, transport.Status(dice.IntN(256)))
				}
			}
			return answer
		}
	}
}

// flood sends keepalives until nobody listens any more.
func flood(ctx context.Context, status transport.Status) {
	for ctx.Err() == nil {
		transport.Report(ctx, status)
		time.Sleep(100 * time.Millisecond)
	}
}

// play runs a flow on a hostile key, in a bubble.
func play(t *testing.T, name, flow, profile string, states *prepared, overHID bool, how temper) {
	t.Helper()
	state := states.get(t, profile)
	synctest.Test(t, func(t *testing.T) {
		h := &hostileKey{t: t, name: name, person: &forgetful{pin: rightPIN}, memory: newQuickMemory(), overHID: overHID}
		a, err := simulator.New(simulator.Config{Profile: state.profile, Answers: func(ctx context.Context, request, answer []byte) []byte {
			if h.temper == nil {
				return answer
			}
			return h.answer(ctx, request, answer)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := a.Restore(t.Context(), state.snapshot); err != nil {
			t.Fatal(err)
		}
		open := func() (transport.Device, error) { return noClose{a}, nil }
		if overHID {
			door := simulator.NewHID(a)
			defer door.Close()
			open = func() (transport.Device, error) { return hid.Open(t.Context(), door.Port()) }
		}
		dev, err := open()
		if err != nil {
			t.Fatal(err)
		}
		options := h.person.options()
		options.Tokens = &client.MemoryTokens{}
		options.Prompt.Replug = func(client.Replug) {}
		options.Prompt.Sample = func(ctap2.SampleStatus, uint) {}
		key := client.New(dev, options)
		defer key.Close()
		h.temper = how(h)
		start := time.Now()
		err = func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					h.errorf("panic: %v\n%s", r, debug.Stack())
				}
			}()
			return everyFlow[flow](context.WithValue(t.Context(), replugged{}, open), key)
		}()
		h.memory.watch(false)
		h.temper = nil
		h.person.leftNothing(t, err)
		if took, most := time.Since(start), time.Duration(h.asked+10)*(client.DefaultTimeout+5*time.Second); took > most {
			h.errorf("it took %v", took)
		}
		if needed := h.memory.needed(); needed > hostileMemory {
			h.errorf("%d MiB of memory were needed, after %d exchanges: %.200v", needed>>20, h.asked, err)
		}
	})
}

// noClose is a key that may be opened again after it was closed.
type noClose struct{ *simulator.Authenticator }

func (noClose) Close() error { return nil }

// lastMemory is where one trial begins after another, without a look that costs.
var lastMemory *memory

func newQuickMemory() *memory {
	if lastMemory == nil {
		lastMemory = newMemory()
	}
	m := *lastMemory
	m.watch(false)
	m.most = m.live
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	m.allocations = samples[0].Value.Uint64()
	lastMemory.live, lastMemory.allocations = m.live, m.allocations
	return &m
}

// TestHostileKey plays every flow on keys whose answers are anything at all. A trial
// that fails is repeated with -hostile.seed=SEED -hostile.trials=1 -run of its flow.
func TestHostileKey(t *testing.T) {
	states, sample := newPrepared(), uint64(ctaptest.Sample(t, 10))
	for _, flow := range slices.Sorted(maps.Keys(everyFlow)) {
		t.Run(flow, func(t *testing.T) {
			for seed := *hostileSeed; seed < *hostileSeed+*hostileTrials; seed += sample {
				dice := rand.New(rand.NewPCG(seed, uint64(len(flow))))
				profile := hostileProfiles[dice.IntN(len(hostileProfiles))]
				overHID := dice.IntN(4) == 0 || profile == "u2f"
				play(t, fmt.Sprintf("seed %d (%s)", seed, profile), flow, profile, states, overHID, thrown(dice))
			}
		})
	}
}

// FuzzHostileKey has the fuzzer throw the dice.
func FuzzHostileKey(f *testing.F) {
	states := newPrepared()
	flows := slices.Sorted(maps.Keys(everyFlow))
	for i := range flows {
		dice := make([]byte, 40)
		rand.NewChaCha8([32]byte{byte(i)}).Read(dice)
		f.Add(byte(i), byte(i), dice)
	}
	f.Fuzz(func(t *testing.T, flow, profile byte, dice []byte) {
		name := hostileProfiles[int(profile)%len(hostileProfiles)]
		play(t, name, flows[int(flow)%len(flows)], name, states, name == "u2f", thrown(&hostiletest.Bytes{Rest: dice}))
	})
}

// edited is an answer in which members are others.
func edited(answer []byte, edit func(members map[int]any)) []byte {
	members := map[int]any{}
	if len(answer) > 1 {
		ctapcbor.Unmarshal(answer[1:], &members)
	}
	edit(members)
	body, err := ctapcbor.Marshal(members)
	if err != nil {
		panic(err)
	}
	return append([]byte{0}, body...)
}

// subCommand is member 1 or 2 of a request.
func subCommandOf(request []byte) uint64 {
	var members map[int]any
	if len(request) > 1 && ctapcbor.Unmarshal(request[1:], &members) == nil {
		if request[0] == byte(ctap2.CommandClientPIN) {
			n, _ := members[2].(uint64)
			return n
		}
		n, _ := members[1].(uint64)
		return n
	}
	return 0
}

// about changes answers to one command, getNextAssertion for instance.
func about(command ctap2.Command, edit func(request, answer []byte) []byte) temper {
	return func(*hostileKey) func(ctx context.Context, request, answer []byte) []byte {
		return func(_ context.Context, request, answer []byte) []byte {
			if len(request) > 0 && request[0] == byte(command) {
				return edit(request, answer)
			}
			return answer
		}
	}
}

// both has two tempers, one after the other.
func both(first, second temper) temper {
	return func(h *hostileKey) func(ctx context.Context, request, answer []byte) []byte {
		one, two := first(h), second(h)
		return func(ctx context.Context, request, answer []byte) []byte {
			return two(ctx, request, one(ctx, request, answer))
		}
	}
}

const endless = uint64(math.MaxUint32)

// numbered is a value that is another one each time.
func numbered(n *uint64, size int) []byte {
	*n++
	return binary.BigEndian.AppendUint64(make([]byte, size-8), *n)
}

// saying has getInfo claim options and limits.
func saying(options map[string]bool, limits map[int]any) temper {
	return about(ctap2.CommandGetInfo, func(_, answer []byte) []byte {
		return edited(answer, func(m map[int]any) {
			had, _ := m[4].(map[any]any)
			if had == nil {
				had = map[any]any{}
			}
			for name, on := range options {
				had[name] = on
			}
			m[4] = had
			maps.Copy(m, limits)
		})
	})
}

// answering has the answer to one command be always the same.
func answering(command ctap2.Command, answer []byte) temper {
	return about(command, func(_, _ []byte) []byte { return bytes.Clone(answer) })
}

// tempers are the hostile keys that dice would not find: those that have no end.
func tempers() map[string]temper {
	long := string(bytes.Repeat([]byte("n"), 7000))
	all := map[string]temper{}
	for _, size := range []int{40, 3000} {
		name := long[:size]
		var n uint64
		last := map[uint64][]byte{} // the answer to each begin
		list := func(request, answer []byte) []byte {
			sub := subCommandOf(request)
			begin := map[uint64]uint64{2: 2, 3: 2, 4: 4, 5: 4}[sub]
			if begin == 0 {
				return answer
			}
			if sub == begin && answer[0] == 0 {
				last[begin] = answer
			}
			return edited(last[begin], func(m map[int]any) {
				if begin == 2 {
					m[3], m[4], m[5] = map[string]any{"id": name, "name": name}, numbered(&n, 32), endless
				} else {
					m[6] = map[string]any{"id": []byte{1}, "name": name, "displayName": name}
					m[7], m[9] = map[string]any{"id": numbered(&n, 64), "type": "public-key"}, endless
				}
			})
		}
		all[fmt.Sprintf("lists without end of %d bytes", size)] = both(about(ctap2.CommandCredentialManagement, list), about(ctap2.CommandCredentialManagementPreview, list))
		var first []byte
		next := func(request, answer []byte) []byte {
			if answer[0] == 0 {
				first = answer
			}
			return edited(first, func(m map[int]any) {
				m[1], m[4], m[5] = map[string]any{"id": numbered(&n, 64), "type": "public-key"}, map[string]any{"id": []byte{1}, "name": name, "displayName": name}, endless
			})
		}
		all[fmt.Sprintf("assertions without end of %d bytes", size)] = both(about(ctap2.CommandGetAssertion, next), about(ctap2.CommandGetNextAssertion, next))
	}
	for _, size := range []uint64{1024, 7609, math.MaxUint64} {
		fragment := make([]byte, min(size-64, 60_000))
		all[fmt.Sprintf("a large-blob array without end, messages of %d", size)] = both(saying(map[string]bool{"largeBlobs": true}, map[int]any{5: size, 11: uint64(math.MaxUint64)}),
			answering(ctap2.CommandLargeBlobs, edited(nil, func(m map[int]any) { m[1] = fragment })))
	}
	for what, array := range map[string][]byte{
		"of bombs": bombs(), "of very many entries": serializedArray(slices.Repeat([][]byte{{0x00}}, 900_000)), "nested": serializedArray([][]byte{append(bytes.Repeat([]byte{0x81}, 900_000), 0)}),
	} {
		all["a large-blob array "+what] = both(saying(map[string]bool{"largeBlobs": true}, map[int]any{5: uint64(60_064)}), about(ctap2.CommandLargeBlobs, func(request, answer []byte) []byte {
			var m map[int]any
			if ctapcbor.Unmarshal(request[1:], &m) != nil || m[1] == nil {
				return answer
			}
			offset, _ := m[3].(uint64)
			offset = min(offset, uint64(len(array)))
			return edited(nil, func(m map[int]any) { m[1] = array[offset:min(offset+60_000, uint64(len(array)))] })
		}))
	}
	for _, limit := range []uint64{0, 1, math.MaxInt64, math.MaxUint64} {
		limits := map[int]any{}
		for _, member := range []int{5, 7, 8, 11, 13, 14, 15, 16, 17, 18, 20, 23, 29} {
			limits[member] = limit
		}
		for _, on := range []bool{false, true} {
			options := map[string]bool{}
			for _, name := range []string{"rk", "up", "uv", "plat", "clientPin", "alwaysUv", "authnrCfg", "bioEnroll", "credMgmt", "ep", "largeBlobs", "makeCredUvNotRqd", "noMcGaPermissionsWithClientPin",
				"perCredMgmtRO", "pinUvAuthToken", "setMinPINLength", "uvAcfg", "uvBioEnroll", "userVerificationMgmtPreview", "credentialMgmtPreview"} {
				options[name] = on
			}
			said := saying(options, limits)
			all[fmt.Sprintf("all options %v, all limits %d", on, limit)] = said
			for _, status := range []ctap2.Status{ctap2.ErrUVInvalid, ctap2.ErrPINAuthInvalid, ctap2.ErrPINInvalid, ctap2.ErrInvalidParameter} {
				all[fmt.Sprintf("all options %v, all limits %d, tokens: %v", on, limit, status)] = both(said, about(ctap2.CommandClientPIN, func(request, answer []byte) []byte {
					switch sub := subCommandOf(request); {
					case sub == 1:
						return edited(nil, func(m map[int]any) { m[3] = 8 })
					case sub == 4 || sub == 5 || sub == 6 || sub == 9:
						return []byte{byte(status)}
					}
					return answer
				}))
			}
		}
	}
	for what, tries := range map[string]map[int]any{
		"0": {3: 0}, "1": {3: 1}, "2": {3: 2}, "none told": {}, "8, after a power cycle": {3: 8, 4: true}, "text": {3: "8"}, "very many": {3: uint64(math.MaxUint64)},
	} {
		all["tries left: "+what] = about(ctap2.CommandClientPIN, func(request, answer []byte) []byte {
			if subCommandOf(request) != uint64(ctap2.GetPINRetries) {
				return answer
			}
			return edited(nil, func(m map[int]any) { maps.Copy(m, tries) })
		})
	}
	for _, sample := range []uint64{0, 1, 0x0d, 0x0e, 255, math.MaxUint64} {
		enroll := func(_, answer []byte) []byte {
			return edited(nil, func(m map[int]any) { m[4], m[5], m[6] = []byte{1}, sample, endless })
		}
		all[fmt.Sprintf("fingers without end, sample %d", sample)] = both(saying(map[string]bool{"bioEnroll": true}, nil), about(ctap2.CommandBioEnrollment, enroll))
	}
	for _, answer := range [][]byte{nil, {}, {0}, {0, 0xa0}, {0, 0x80}, append([]byte{0}, bytes.Repeat([]byte{0x81}, 65_000)...), append([]byte{0}, bytes.Repeat([]byte{0xbf}, 65_000)...)} {
		all[fmt.Sprintf("nothing but %.4x", answer)] = func(*hostileKey) func(ctx context.Context, request, answer []byte) []byte {
			return func(_ context.Context, request, real []byte) []byte {
				if len(request) > 0 && request[0] == byte(ctap2.CommandGetInfo) {
					return real
				}
				return bytes.Clone(answer)
			}
		}
	}
	return all
}

// serializedArray is a large-blob array with its hash.
func serializedArray(entries [][]byte) []byte {
	array := binary.BigEndian.AppendUint32([]byte{0x9a}, uint32(len(entries)))
	return withHash(append(array, bytes.Join(entries, nil)...))
}

// bombs is an array of entries that each become a megabyte.
func bombs() []byte {
	packed := deflated(make([]byte, 1<<20))
	entry := sealedEntry(make([]byte, 32), packed, 1<<20)
	return serializedArray(slices.Repeat([][]byte{entry}, 900_000/len(entry)))
}

// TestEndlessKeys plays every flow on each of the tempers.
func TestEndlessKeys(t *testing.T) {
	states, sample := newPrepared(), ctaptest.Sample(t, 20)
	all, flows := tempers(), slices.Sorted(maps.Keys(everyFlow))
	for i, name := range slices.Sorted(maps.Keys(all)) {
		profiles := []string{"ctap-2.3", "fingerprint"}
		if strings.Contains(name, "without end of") {
			profiles = profiles[:1] // ten thousand exchanges
		}
		t.Run(name, func(t *testing.T) {
			for j, flow := range flows {
				if (i+j)%sample != 0 {
					continue
				}
				for _, profile := range profiles {
					play(t, flow+" ("+profile+")", flow, profile, states, false, all[name])
				}
			}
		})
	}
}

// TestStubbornKeys plays every flow on keys that say the same to everything but
// getInfo: a status, or a keepalive for as long as anybody listens.
func TestStubbornKeys(t *testing.T) {
	states, sample, turn := newPrepared(), ctaptest.Sample(t, 20), 0
	flows := slices.Sorted(maps.Keys(everyFlow))
	stubborn := func(name string, say func(ctx context.Context) []byte) {
		for _, flow := range flows {
			if turn++; turn%sample != 0 {
				continue
			}
			play(t, name+", "+flow, flow, "fingerprint", states, false, func(*hostileKey) func(ctx context.Context, request, answer []byte) []byte {
				return func(ctx context.Context, request, answer []byte) []byte {
					if len(request) > 0 && request[0] == byte(ctap2.CommandGetInfo) {
						return answer
					}
					return say(ctx)
				}
			})
		}
	}
	for status := range 256 {
		if status > int(ctap2.ErrUnauthorizedPermission)+8 && status%16 != 15 {
			continue // nothing that anybody knows
		}
		stubborn(fmt.Sprintf("status %02x", status), func(context.Context) []byte { return []byte{byte(status)} })
	}
	for status := range transport.Status(5) {
		stubborn(fmt.Sprintf("keepalive %d", status), func(ctx context.Context) []byte {
			flood(ctx, status)
			return []byte{byte(ctap2.ErrKeepaliveCancel)}
		})
	}
}
