package entra

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// What is not done to a strength.
var (
	ErrBuiltIn     = errors.New("the authentication strength is Microsoft's own, which nobody can change")
	ErrNoPasskeys  = errors.New("the authentication strength does not allow passkeys (fido2)")
	ErrAllAllowed  = errors.New("the list would be empty, which allows every passkey")
	ErrUnlisted    = errors.New("the authentication strength allows every passkey, and has no list to take models from")
	ErrCombination = errors.New("the allowed combinations differ, which the admin center changes")
)

// AllowsPasskeys reports whether passkeys are among the combinations.
func (s *Strength) AllowsPasskeys() bool { return contains(s.AllowedCombinations, combinationFIDO2) }

// Allow adds models to the list of those that are allowed. A strength without a list
// allows every passkey; with enforce it gets one.
func (s *Strength) Allow(models []ctap2.AAGUID, enforce bool) ([]Note, error) {
	before := s.AllowedAAGUIDs()
	switch {
	case !s.AllowsPasskeys():
		return nil, ErrNoPasskeys
	case len(before) == 0 && !enforce:
		return []Note{{Text: "it allows every passkey, so these already"}}, nil
	}
	added := slices.DeleteFunc(slices.Clone(models), func(a ctap2.AAGUID) bool { return contains(before, a.String()) })
	if len(added) == 0 {
		return []Note{{Text: "its list has these already"}}, nil
	}
	c := s.configuration()
	c.AllowedAAGUIDs = with(c.AllowedAAGUIDs, added)
	return nil, nil
}

// Remove takes models from the list of those that are allowed.
func (s *Strength) Remove(models []ctap2.AAGUID) ([]Note, error) {
	before := s.AllowedAAGUIDs()
	if len(before) == 0 {
		return nil, ErrUnlisted
	}
	for i := range s.CombinationConfigurations {
		if c := &s.CombinationConfigurations[i]; c.forPasskeys() {
			c.AllowedAAGUIDs = without(c.AllowedAAGUIDs, models)
		}
	}
	switch len(s.AllowedAAGUIDs()) {
	case 0:
		return nil, ErrAllAllowed
	case len(before):
		return []Note{{Text: "its list has none of these"}}, nil
	}
	s.CombinationConfigurations = slices.DeleteFunc(s.CombinationConfigurations, func(c CombinationConfiguration) bool {
		return c.forPasskeys() && len(c.AllowedAAGUIDs) == 0 // it would restrict nothing
	})
	return nil, nil
}

// Applied returns the strength with the list of another, as from a file.
func (s *Strength) Applied(file *Strength) (*Strength, error) {
	to := s.Clone()
	listed := file.AllowedAAGUIDs()
	var d differ
	if d.walk("", "", tree(s.AllowedCombinations), tree(file.AllowedCombinations)); len(d.changes) > 0 {
		return nil, ErrCombination
	}
	if d.walk("", "", tree(s.AllowedAAGUIDs()), tree(listed)); len(d.changes) == 0 {
		return to, nil
	}
	kept := ""
	if len(listed) > 0 {
		kept = to.configuration().ID
	}
	to.CombinationConfigurations = slices.DeleteFunc(to.CombinationConfigurations, func(c CombinationConfiguration) bool {
		return c.forPasskeys() && (len(listed) == 0 || c.ID != kept)
	})
	if len(listed) > 0 {
		to.configuration().AllowedAAGUIDs = listed
	}
	return to, nil
}

// CheckEdit says why the strength cannot be changed, or nothing.
func (s *Strength) CheckEdit(to *Strength) error {
	if same(s.PolicyType, "builtIn") && len(s.Writes(to)) > 0 {
		return ErrBuiltIn
	}
	for _, text := range to.AllowedAAGUIDs() {
		if _, err := ctap2.ParseAAGUID(text); err != nil && !contains(s.AllowedAAGUIDs(), text) {
			return fmt.Errorf("%q is no AAGUID", text)
		}
	}
	return nil
}

// Differences lists what would have to change to make another strength of this one: the
// combinations, and the models that passkeys may be on.
func (s *Strength) Differences(to *Strength) []Change {
	var d differ
	d.walk("allowedCombinations", "", tree(s.AllowedCombinations), tree(to.AllowedCombinations))
	d.walk("allowedAAGUIDs", "", tree(s.AllowedAAGUIDs()), tree(to.AllowedAAGUIDs()))
	return d.changes
}

// A Write is what Graph is sent for one configuration of a strength: no ID adds one, and
// nothing to write deletes it.
type Write struct {
	ID            string
	Configuration json.RawMessage
}

// Writes returns what makes another strength of this one.
func (s *Strength) Writes(to *Strength) (writes []Write) {
	for _, c := range to.CombinationConfigurations {
		i := slices.IndexFunc(s.CombinationConfigurations, func(old CombinationConfiguration) bool { return c.ID != "" && old.ID == c.ID })
		var d differ
		if i >= 0 {
			d.walk("", "", tree(s.CombinationConfigurations[i]), tree(c))
		}
		if i < 0 || len(d.changes) > 0 {
			writes = append(writes, Write{c.ID, c.body()})
		}
	}
	for _, old := range s.CombinationConfigurations {
		if !slices.ContainsFunc(to.CombinationConfigurations, func(c CombinationConfiguration) bool { return c.ID == old.ID }) {
			writes = append(writes, Write{ID: old.ID})
		}
	}
	return writes
}

// body is what Graph takes of a configuration: its ID stands in the address.
func (c CombinationConfiguration) body() json.RawMessage {
	c.ID = ""
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // what was read from JSON can be written
	}
	return text
}

// Clone returns a copy that shares nothing with the strength.
func (s *Strength) Clone() *Strength {
	text, err := json.Marshal(s)
	c := new(Strength)
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	if err != nil {
		panic(err) // what was read from JSON can be written
	}
	return c
}

func (c *CombinationConfiguration) forPasskeys() bool {
	return contains(c.AppliesToCombinations, combinationFIDO2)
}

// configuration is the first for passkeys, which is made if there is none.
func (s *Strength) configuration() *CombinationConfiguration {
	for i := range s.CombinationConfigurations {
		if c := &s.CombinationConfigurations[i]; c.forPasskeys() {
			return c
		}
	}
	s.CombinationConfigurations = append(s.CombinationConfigurations, CombinationConfiguration{
		ODataType: CombinationConfigurationType, AppliesToCombinations: []string{combinationFIDO2},
	})
	return &s.CombinationConfigurations[len(s.CombinationConfigurations)-1]
}
