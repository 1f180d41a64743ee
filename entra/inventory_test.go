package entra_test

import (
	"testing"

	"github.com/fidokey/fidokey/entra"
)

func TestParseInventory(t *testing.T) {
	const one, two = "2fc0579f-8113-47ea-b116-bb5a8db9202a", "f1d0f1d0-0000-4000-8000-000000000001"
	for name, text := range map[string]string{
		"JSON of Graph":        `{"value":[{"id":"x","aaGuid":"` + one + `"},{"aaGuid":"` + two + `"},{"aaGuid":"` + one + `"}]}`,
		"JSON of ours":         `{"fidokey":1,"results":[{"result":{"aaguid":"` + two + `","name":"x"}},{"result":{"aaguid":"` + one + `"}}]}`,
		"CSV":                  "user,AAGUID,name\n11111111-2222-4333-8444-555555555555," + one + ",\"a, b\"\nx," + two + ",\n",
		"CSV with semicolons":  "user;aaGuid\r\nx;" + one + "\r\ny;" + two + "\r\n",
		"lines":                "# ours\n2FC0579F-8113-47EA-B116-BB5A8DB9202A\n\n" + two + ", a name\n",
		"with byte order mark": "\ufeff" + one + "\n" + two,
	} {
		got, err := entra.ParseInventory([]byte(text))
		if err != nil || len(got) != 2 || (got[0].String() != one && got[1].String() != one) || (got[0].String() != two && got[1].String() != two) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "{}", "{", "user,name\nx,y\n", `[{"aaguid":"x"}]`, "# nothing"} {
		if got, err := entra.ParseInventory([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
