package entra

import (
	"encoding/json"
	"errors"
	"fmt"
)

// combinationFIDO2 is the passkey among the combinations of a strength.
const combinationFIDO2 = "fido2"

// CombinationConfigurationType is what Graph calls a configuration for passkeys.
const CombinationConfigurationType = "#microsoft.graph.fido2CombinationConfiguration"

// Strength is an authentication strength (authenticationStrengthPolicy), which
// Conditional Access asks for at sign-in.
type Strength struct {
	ID                        string                     `json:"id,omitempty"`
	DisplayName               string                     `json:"displayName,omitempty"`
	PolicyType                string                     `json:"policyType,omitempty"` // builtIn: nobody can change it
	AllowedCombinations       []string                   `json:"allowedCombinations,omitzero"`
	CombinationConfigurations []CombinationConfiguration `json:"combinationConfigurations,omitzero"`

	Others Members `json:"-"`
}

// CombinationConfiguration restricts combinations to some models.
type CombinationConfiguration struct {
	ODataType             string   `json:"@odata.type,omitempty"`
	ID                    string   `json:"id,omitempty"`
	AllowedAAGUIDs        []string `json:"allowedAAGUIDs,omitzero"`
	AppliesToCombinations []string `json:"appliesToCombinations,omitzero"`

	Others Members `json:"-"`
}

func (s *Strength) UnmarshalJSON(text []byte) (err error) {
	type fields Strength
	if err = json.Unmarshal(text, (*fields)(s)); err == nil {
		s.Others, err = others(text, fields{})
	}
	return err
}

func (s Strength) MarshalJSON() ([]byte, error) {
	type fields Strength
	return s.Others.with(fields(s))
}

func (c *CombinationConfiguration) UnmarshalJSON(text []byte) (err error) {
	type fields CombinationConfiguration
	if err = json.Unmarshal(text, (*fields)(c)); err == nil {
		c.Others, err = others(text, fields{})
	}
	return err
}

func (c CombinationConfiguration) MarshalJSON() ([]byte, error) {
	type fields CombinationConfiguration
	return c.Others.with(fields(c))
}

// ParseStrength reads an authentication strength as Graph or a module of PowerShell
// gives it, alone or as the only one of a list.
func ParseStrength(text []byte) (*Strength, error) {
	text, err := fromShell(text)
	if err != nil {
		return nil, err
	}
	text = unwrapped(text)
	var list struct{ Value []json.RawMessage }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("not the JSON of an authentication strength: %w", err)
	}
	switch len(list.Value) {
	case 0:
	case 1:
		text = list.Value[0]
	default:
		return nil, fmt.Errorf("there are %d authentication strengths in it; one is judged at a time", len(list.Value))
	}
	s := new(Strength)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("not the JSON of an authentication strength: %w", err)
	}
	if s.AllowedCombinations == nil {
		return nil, errors.New("this is no authentication strength: it has no allowedCombinations")
	}
	return s, nil
}

// AllowedAAGUIDs are the models that passkeys are restricted to; none: any model.
func (s *Strength) AllowedAAGUIDs() (aaguids []string) {
	for _, c := range s.CombinationConfigurations {
		if contains(c.AppliesToCombinations, combinationFIDO2) {
			aaguids = append(aaguids, c.AllowedAAGUIDs...)
		}
	}
	return aaguids
}

// Title is what a person calls it.
func (s *Strength) Title() string {
	if s.DisplayName != "" {
		return s.DisplayName
	}
	return s.ID
}
