package main

import (
	"fmt"
	"strings"
)

// tables are those of the page, by the name in their marker.
var tables = map[string]func(results) string{
	"machine":     func(r results) string { return r.machine + ".\n" },
	"programs":    programs,
	"size":        size,
	"simulator":   simulated,
	"flows":       flows,
	"framing":     framing,
	"inventory":   inventory,
	"credentials": credentials,
	"list":        list,
	"metadata":    metadataBLOB,
}

func programs(r results) string {
	t := newTable("program", "wall", "CPU", "peak of memory", "wall, of fido2-token's", "CPU, of fido2-token's")
	const reference = "Info/fido2-token"
	for _, name := range []string{"fidokey", "fidokey with PC/SC", "fido2-token", "python3-fido2"} {
		bench := "Info/" + strings.ReplaceAll(name, " ", "_")
		t.row(name, r.ms(bench, "wall-ms"), r.ms(bench, "cpu-ms"), r.value(bench, "MiB", "%.1f MiB"),
			r.ratio(bench, reference, "wall-ms"), r.ratio(bench, reference, "cpu-ms"))
	}
	return t.String()
}

func size(r results) string {
	t := newTable("program", "size", "of 25 MiB")
	for _, name := range []string{"static", "pcsc"} {
		bytes := r.of["Size/"+name]["bytes"]
		t.row(map[string]string{"static": "static", "pcsc": "with PC/SC"}[name], fmt.Sprintf("%.2f MiB", bytes/(1<<20)), fmt.Sprintf("%.2f", bytes/(25<<20)))
	}
	return t.String()
}

func simulated(r results) string {
	t := newTable("command", "in memory", "through 64-byte reports", "on disk", "bare cryptography", "in memory, of bare", "allocations")
	for _, c := range []struct{ name, bare string }{
		{"makeCredential", "Floor/P-256_key_and_signature/RFC_6979"}, {"getAssertion", "Floor/P-256_signature/RFC_6979"}, {"getInfo", ""},
	} {
		direct := "Simulator/memory/direct/" + c.name
		t.row(c.name, r.us(direct, "ns/op"), r.us("Simulator/memory/reports/"+c.name, "ns/op"), r.us("Simulator/disk/direct/"+c.name, "ns/op"),
			r.us(c.bare, "ns/op"), r.ratio(direct, c.bare, "ns/op"), r.value(direct, "allocs/op", "%.0f"))
	}
	return t.String()
}

func flows(r results) string {
	t := newTable("flow", "exchanges", "the client's time", "bare cryptography", "the client's, of bare", "allocations")
	bare := r.of["TokenFloor"]["ns/op"]
	for _, name := range []string{"info", "verify", "register", "authenticate", "credentials", "metadata", "fingerprints", "large blob"} {
		bench, floor, ratio := "Flows/"+strings.ReplaceAll(name, " ", "_"), "-", "-"
		if own := r.of[bench]["client-ns/op"]; bare > 0 && name != "info" && name != "large blob" { // which need no token, or have one
			floor, ratio = r.us("TokenFloor", "ns/op"), fmt.Sprintf("%.2f", own/bare)
		}
		t.row(name, r.value(bench, "exchanges/op", "%.0f"), r.us(bench, "client-ns/op"), floor, ratio, r.value(bench, "allocs/op", "%.0f"))
	}
	return t.String()
}

func framing(r results) string {
	t := newTable("message", "reports per second", "allocations", "python3-fido2, reports per second", "of python3-fido2's")
	for _, size := range []string{"57", "7609"} {
		ours, theirs := "Framing/"+size+"_bytes", "FramingPython/"+size+"_bytes"
		t.row(size+" bytes", r.value(ours, "reports/s", "%.0f"), r.value(ours, "allocs/op", "%.0f"), r.value(theirs, "reports/s", "%.0f"), r.ratio(ours, theirs, "reports/s"))
	}
	return t.String()
}

func inventory(r results) string {
	t := newTable("keys", "list", "of one key's", "info --all", "of one key's")
	for _, n := range []string{"1", "8", "64"} {
		list, info := "Inventory/list,_"+n+"_keys", "Inventory/info_--all,_"+n+"_keys"
		t.row(n, r.us(list, "ns/op"), r.ratio(list, "Inventory/list,_1_keys", "ns/op"), r.us(info, "ns/op"), r.ratio(info, "Inventory/info_--all,_1_keys", "ns/op"))
	}
	return t.String()
}

func credentials(r results) string {
	t := newTable("what", "with 1,000 credentials", "with 100,000", "ratio")
	for _, what := range []string{"getAssertion", "getAssertion of another RP", "getNextAssertion"} {
		bench := "ManyCredentials/" + strings.ReplaceAll(what, " ", "_") + ",_"
		t.row(what, r.us(bench+"1000_credentials", "ns/op"), r.us(bench+"100000_credentials", "ns/op"), r.ratio(bench+"100000_credentials", bench+"1000_credentials", "ns/op"))
	}
	return t.String()
}

func list(r results) string {
	t := newTable("for each credential", "with 1,000", "with 9,000", "ratio")
	for _, c := range []struct{ what, unit, format string }{
		{"exchanges", "exchanges/credential", "%.2f"},
		{"the client's time", "client-ns/credential", ""},
		{"the key's time", "key-ns/credential", ""},
		{"memory", "B/credential", "%.0f bytes"},
	} {
		few, many := r.us("CredentialList/1000", c.unit), r.us("CredentialList/9000", c.unit)
		if c.format != "" {
			few, many = r.value("CredentialList/1000", c.unit, c.format), r.value("CredentialList/9000", c.unit, c.format)
		}
		t.row(c.what, few, many, r.ratio("CredentialList/9000", "CredentialList/1000", c.unit))
	}
	return t.String()
}

func metadataBLOB(r results) string {
	t := newTable("what", "time", "of bare", "memory", "allocations")
	for _, c := range []struct{ what, bench string }{
		{"bare: base64, SHA-256 and JSON", "Bare"}, {"verify: signature, chain, every entry", "Verify"}, {"store, with its index", "Store"},
		{"open the index and read an entry", "Lookup"}, {"open the index and read a name", "Name"},
	} {
		t.row(c.what, r.us(c.bench, "ns/op"), r.ratio(c.bench, "Bare", "ns/op"), r.value(c.bench, "B/op", "%.0f bytes"), r.value(c.bench, "allocs/op", "%.0f"))
	}
	return t.String()
}

// missing stands for what was not measured: what it is measured with is not there.
const missing = "-"

func (r results) value(bench, unit, format string) string {
	v, ok := r.of[bench][unit]
	if !ok {
		return missing
	}
	return fmt.Sprintf(format, v)
}

func (r results) ms(bench, unit string) string { return r.value(bench, unit, "%.0f ms") }

// us shows nanoseconds.
func (r results) us(bench, unit string) string {
	v, ok := r.of[bench][unit]
	switch {
	case !ok:
		return missing
	case v >= 1e7:
		return fmt.Sprintf("%.0f ms", v/1e6)
	case v >= 1e6:
		return fmt.Sprintf("%.1f ms", v/1e6)
	default:
		return fmt.Sprintf("%.1f µs", v/1e3)
	}
}

func (r results) ratio(bench, reference, unit string) string {
	v, measured := r.of[bench][unit]
	other, too := r.of[reference][unit]
	if !measured || !too || other == 0 {
		return missing
	}
	if v/other < 0.01 {
		return fmt.Sprintf("%.2g", v/other)
	}
	return fmt.Sprintf("%.2f", v/other)
}

// A table is one of Markdown.
type table struct{ strings.Builder }

func newTable(columns ...string) *table {
	t := &table{}
	t.row(columns...)
	t.WriteString("| --- |" + strings.Repeat(" ---: |", len(columns)-1) + "\n")
	return t
}

func (t *table) row(cells ...string) { t.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
