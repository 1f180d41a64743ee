package hostiletest

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// TestScan finds each item of an answer, also where lengths are indefinite.
func TestScan(t *testing.T) {
	for _, c := range []struct {
		text  string
		items int
	}{
		{"a2016161028118ff", 6}, {"9f01ff", 2}, {"5f4101ff", 2}, {"c101", 2}, {"a1", 0}, {"5bffffffffffffffff00", 0}, {"8201", 1}, {"bf0102ff", 3}, {"", 0}, {"1c", 0},
	} {
		b, err := hex.DecodeString(c.text)
		if err != nil {
			t.Fatal(err)
		}
		all := scan(b)
		if len(all) != c.items {
			t.Errorf("%s: %d items, want %d: %+v", c.text, len(all), c.items, all)
		}
		for _, i := range all {
			if err := cbor.Wellformed(b[i.start:i.end]); err != nil {
				t.Errorf("%s: %x: %v", c.text, b[i.start:i.end], err)
			}
		}
	}
}

// TestSpoil holds the generator to its promises: the same dice give the same answer,
// used-up bytes leave it alone, and all that decoders must refuse or take is made.
func TestSpoil(t *testing.T) {
	answer, err := hex.DecodeString("00a301826846" + "49444f5f325f30" + "634142430350" + "00000000000000000000000000000000" + "04a162726bf5")
	if err != nil {
		t.Fatal(err)
	}
	if got := Spoil(&Bytes{}, answer); !bytes.Equal(got, answer) {
		t.Errorf("without bytes: %x", got)
	}
	kinds := map[string]int{}
	const trials = 20_000
	for seed := range uint64(trials) {
		got := Spoil(rand.New(rand.NewPCG(seed, 0)), answer)
		if again := Spoil(rand.New(rand.NewPCG(seed, 0)), answer); !bytes.Equal(got, again) {
			t.Fatalf("seed %d: %x and %x", seed, got, again)
		}
		var items map[any]cbor.RawMessage
		switch {
		case len(got) == 0:
			kinds["nothing"]++
		case bytes.Equal(got, answer):
			kinds["as it was"]++
		case got[0] != 0:
			kinds["another status"]++
		case len(got) == 1:
			kinds["a status alone"]++
		case cbor.Wellformed(got[1:]) != nil:
			kinds["no CBOR"]++
		case cbor.Unmarshal(got[1:], &items) != nil:
			kinds["no map"]++
		case len(got) > 7609:
			kinds["long"]++
		default:
			kinds["another map"]++
		}
	}
	t.Log(kinds)
	for _, kind := range []string{"nothing", "as it was", "another status", "a status alone", "no CBOR", "no map", "long", "another map"} {
		if kinds[kind] < trials/1000 {
			t.Errorf("%s: %d of %d", kind, kinds[kind], trials)
		}
	}
}
