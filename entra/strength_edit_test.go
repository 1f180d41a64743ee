package entra_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/entra"
)

// strengthOf has one configuration for passkeys for each list, and one for certificates.
func strengthOf(t *testing.T, kind string, lists ...[]string) *entra.Strength {
	t.Helper()
	s := &entra.Strength{ID: "s", DisplayName: "Ours", PolicyType: kind, AllowedCombinations: []string{"fido2", "x509CertificateMultiFactor"}}
	s.CombinationConfigurations = append(s.CombinationConfigurations, entra.CombinationConfiguration{ID: "x", ODataType: "#microsoft.graph.x509CertificateCombinationConfiguration", AppliesToCombinations: []string{"x509CertificateMultiFactor"}})
	for i, list := range lists {
		s.CombinationConfigurations = append(s.CombinationConfigurations, entra.CombinationConfiguration{
			ID: string(rune('a' + i)), ODataType: entra.CombinationConfigurationType, AppliesToCombinations: []string{"fido2"}, AllowedAAGUIDs: list,
		})
	}
	return s.Clone()
}

func TestStrengthEdit(t *testing.T) {
	const no = "no longer sign in"
	for name, c := range map[string]struct {
		lists   [][]string
		remove  bool
		enforce bool
		models  []string
		want    []string // writes: ID, and the last digits of each model
		note    string
		err     error
		warning string
	}{
		"allow":                     {[][]string{{modelA}}, false, false, []string{modelA, modelB}, []string{"a:12"}, "", nil, ""},
		"allow, listed":             {[][]string{{modelA}, {strings.ToUpper(modelB)}}, false, true, []string{modelB}, nil, "already", nil, ""},
		"allow, no list":            {nil, false, false, []string{modelA}, nil, "already", nil, ""},
		"allow, an empty list":      {[][]string{{}}, false, false, []string{modelA}, nil, "already", nil, ""},
		"allow, no list, enforced":  {nil, false, true, []string{modelA}, []string{":1"}, "", nil, no},
		"allow, empty, enforced":    {[][]string{{}}, false, true, []string{modelA}, []string{"a:1"}, "", nil, no},
		"remove":                    {[][]string{{modelA, modelB}}, true, false, []string{modelA}, []string{"a:2"}, "", nil, no},
		"remove from two":           {[][]string{{modelA, modelB}, {modelA}}, true, false, []string{modelA}, []string{"a:2", "b deleted"}, "", nil, no},
		"remove what is not listed": {[][]string{{modelA}}, true, false, []string{modelB}, nil, "none of these", nil, ""},
		"remove all":                {[][]string{{modelA}}, true, false, []string{modelA}, nil, "", entra.ErrAllAllowed, ""},
		"remove without a list":     {nil, true, false, []string{modelA}, nil, "", entra.ErrUnlisted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := strengthOf(t, "custom", c.lists...)
			to := s.Clone()
			var notes []entra.Note
			var err error
			if c.remove {
				notes, err = to.Remove(aaguids(t, c.models...))
			} else {
				notes, err = to.Allow(aaguids(t, c.models...), c.enforce)
			}
			if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			if (c.note == "") != (len(notes) == 0) || c.note != "" && !strings.Contains(notes[0].Text, c.note) {
				t.Errorf("%+v", notes)
			}
			if got := written(t, s, to); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if (len(s.Differences(to)) == 0) != (c.want == nil) {
				t.Errorf("%v", s.Differences(to))
			}
			warnings := s.Consequences(to)
			if (c.warning == "") != (len(warnings) == 0) || c.warning != "" && !strings.Contains(warnings[0].Text, c.warning) {
				t.Errorf("%+v", warnings)
			}
			own := s.Clone()
			own.PolicyType = "builtIn"
			if err := own.CheckEdit(to); errors.Is(err, entra.ErrBuiltIn) != (c.want != nil) {
				t.Error(err)
			}
		})
	}
}

func written(t *testing.T, s, to *entra.Strength) (lines []string) {
	t.Helper()
	for _, w := range s.Writes(to) {
		if w.Configuration == nil {
			lines = append(lines, w.ID+" deleted")
			continue
		}
		c, err := entra.ParseStrength([]byte(`{"allowedCombinations":[],"combinationConfigurations":[` + string(w.Configuration) + `]}`))
		if err != nil || c.CombinationConfigurations[0].ODataType != entra.CombinationConfigurationType || c.CombinationConfigurations[0].ID != "" {
			t.Errorf("%s, %v", w.Configuration, err)
		}
		line := w.ID + ":"
		for _, a := range c.AllowedAAGUIDs() {
			line += a[len(a)-1:]
		}
		lines = append(lines, line)
	}
	return lines
}

func TestStrengthApplied(t *testing.T) {
	for name, c := range map[string]struct {
		lists [][]string
		file  [][]string
		want  []string
		warns string
	}{
		"same":           {[][]string{{modelA, modelB}}, [][]string{{modelB}, {modelA}}, nil, ""},
		"none":           {nil, nil, nil, ""},
		"a list":         {nil, [][]string{{modelA}}, []string{":1"}, "on others than 1 model"},
		"another list":   {[][]string{{modelA}}, [][]string{{modelB}}, []string{"a:2"}, "passkeys on 1 model"},
		"two become one": {[][]string{{modelA}, {modelB}}, [][]string{{modelB}}, []string{"a:2", "b deleted"}, "passkeys on 1 model"},
		"no list":        {[][]string{{modelA}}, nil, []string{"a deleted"}, "every passkey signs in"},
	} {
		t.Run(name, func(t *testing.T) {
			s := strengthOf(t, "custom", c.lists...)
			to, err := s.Applied(strengthOf(t, "custom", c.file...))
			if err != nil {
				t.Fatal(err)
			}
			if got := written(t, s, to); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			warnings := s.Consequences(to)
			if (c.warns == "") != (len(warnings) == 0) || c.warns != "" && !strings.Contains(warnings[0].Text, c.warns) {
				t.Errorf("%+v", warnings)
			}
		})
	}
	s := strengthOf(t, "custom")
	other := s.Clone()
	other.AllowedCombinations = []string{"fido2"}
	if _, err := s.Applied(other); !errors.Is(err, entra.ErrCombination) {
		t.Error(err)
	}
	if d := s.Differences(other); len(d) != 1 || d[0].String() != "- allowedCombinations: x509CertificateMultiFactor" {
		t.Errorf("%v", d)
	}
	other.AllowedCombinations = []string{"x509CertificateMultiFactor"}
	if _, err := other.Allow(aaguids(t, modelA), true); !errors.Is(err, entra.ErrNoPasskeys) {
		t.Error(err)
	}
	if err := s.CheckEdit(strengthOf(t, "custom", []string{"YubiKey"})); err == nil {
		t.Error("YubiKey is an AAGUID")
	}
}
