package conformance_test

import (
	"testing"

	"github.com/fidokey/fidokey/conformance"
)

func chosen(t *testing.T, f conformance.Filter) (ids []string) {
	t.Helper()
	match, err := f.Match()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conformance.Cases() {
		if match(&c) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func TestFilter(t *testing.T) {
	for _, test := range []struct {
		filter conformance.Filter
		want   int
	}{
		{conformance.Filter{}, 709},
		{conformance.Filter{IDs: []string{"MC-001", "mc-00*"}}, 9},
		{conformance.Filter{IDs: []string{"CBR-021/mc.rp.text"}}, 1},
		{conformance.Filter{Groups: []string{"HID", "nfc"}}, 86},
		{conformance.Filter{Groups: []string{"HID"}, Profiles: []string{"2.1"}}, 1},
		{conformance.Filter{Groups: []string{"RST"}, Needs: "C"}, 8},
		{conformance.Filter{Groups: []string{"HID"}, Needs: "-"}, 47},
		{conformance.Filter{Groups: []string{"HID"}, Without: "UNPRCBD"}, 47},
	} {
		if got := chosen(t, test.filter); len(got) != test.want {
			t.Errorf("%+v: %d cases, not %d: %v", test.filter, len(got), test.want, got)
		}
	}
	for _, wrong := range []conformance.Filter{
		{IDs: []string{"MC-999"}}, {IDs: []string{"["}}, {Groups: []string{"XYZ"}}, {Profiles: []string{"2.2"}}, {Needs: "Q"},
		{Shard: 1}, {Shard: 3, Shards: 2}, {Shard: 0, Shards: 2},
	} {
		if _, err := wrong.Match(); err == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
}

// TestShards: every case is in one part, in each way of dividing them.
func TestShards(t *testing.T) {
	for _, shards := range []int{1, 2, 3, 7, 50} {
		count := map[string]int{}
		for shard := 1; shard <= shards; shard++ {
			part := chosen(t, conformance.Filter{Shard: shard, Shards: shards})
			if shards <= 3 && len(part) < 709/shards/5 {
				t.Errorf("part %d of %d has only %d cases", shard, shards, len(part))
			}
			for _, id := range part {
				count[id]++
			}
		}
		for _, c := range conformance.Cases() {
			if count[c.ID] != 1 {
				t.Errorf("%s is in %d of %d parts", c.ID, count[c.ID], shards)
			}
		}
	}
}
