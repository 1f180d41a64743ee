package enrol

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// wide is a text as spreadsheets save "Unicode text".
func wide(text string) (b []byte) {
	for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return b
}

// TestReadList: the forms that spreadsheets have, and what is wrong with a list, all of it
// at once.
func TestReadList(t *testing.T) {
	want := []Line{
		{Row: 2, User: "sam@example.com", Name: "Grüner Schlüssel", Serial: "123", AAGUID: "f1d0f1d0-0000-4000-8000-000000000001"},
		{Row: 4, User: "alex@example.com"},
	}
	comma := "User,Name,SERIAL,aaguid\r\nsam@example.com, Grüner Schlüssel,123,F1D0F1D0-0000-4000-8000-000000000001\r\n,,,\r\nalex@example.com,,,\r\n"
	for name, text := range map[string][]byte{
		"commas": []byte(comma), "mark": []byte("\ufeff" + comma), "semicolons": []byte(strings.ReplaceAll(comma, ",", ";")),
		"tabs in UTF-16": wide(strings.ReplaceAll(comma, ",", "\t")), "quotes": []byte(strings.Replace(comma, "123", `"123"`, 1)),
	} {
		if lines, err := ReadList(text); err != nil || !slices.Equal(lines, want) {
			t.Errorf("%s: %+v, %v", name, lines, err)
		}
	}
	if lines, err := ReadList([]byte("user\nsam@example.com\n00000000-0000-4000-a000-000000000001")); err != nil || len(lines) != 2 {
		t.Errorf("one column: %+v, %v", lines, err)
	}
	if lines, err := ReadList([]byte("user,name\nsam@example.com,blue\nSAM@example.com,green")); err != nil || len(lines) != 2 {
		t.Errorf("two keys for one user: %+v, %v", lines, err)
	}
	if lines, err := ReadList([]byte("user;;\nsam@example.com;;\n;;")); err != nil || len(lines) != 1 {
		t.Errorf("empty columns: %+v, %v", lines, err)
	}
	for text, says := range map[string]string{
		"":                                "no header",
		"name\nx":                         "no column 'user'",
		"user,shipping\n":                 "user, name, serial and aaguid",
		"user,\na@b,1234":                 "line 2: something stands in a column without a name",
		"user,user\n":                     "twice",
		"user,PIN\nsam@example.com,1":     "--pin-random",
		"user,new_pin\nsam@example.com,1": "do not belong",
		"user\n":                          "no users",
		"user\nsam":                       `line 2: "sam" is no user`,
		"user,name\na@b,c\na@b,c,d":       "line 3",
		"user,name\na@b," + strings.Repeat("x", 31): "line 2: the name has 31 characters",
		"user,aaguid\na@b,f1d0":                     "line 2",
		"user,serial\na@b,\"1,23E+07\"":             "format the column as text",
		"user\na@b\nc@d\nA@B":                       "line 4: A@B is in line 2 already",
		"user,serial\na@b,7\nc@d,7":                 "line 3: the key 7 is in line 2 already",
		"user\n\"a@b":                               "quote",
	} {
		if _, err := ReadList([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := ReadList([]byte("user\nsam\na@b\na@b"))
	if err == nil || strings.Count(err.Error(), "line ") != 3 { // the last names two
		t.Errorf("all that is wrong: %v", err)
	}
}

// TestRandomPIN: digits, as many as asked for, all of them everywhere but 0 at the
// beginning, and nothing trivial.
func TestRandomPIN(t *testing.T) {
	seen := map[[2]byte]int{}
	for range 2000 {
		pin, err := RandomPIN(6)
		if err != nil || len(pin) != 6 || trivial(pin) {
			t.Fatalf("%s, %v", pin, err)
		}
		for i, d := range pin {
			seen[[2]byte{byte(i), d}]++
		}
	}
	if len(seen) != 59 || seen[[2]byte{0, '0'}] != 0 {
		t.Errorf("%d digits at places", len(seen))
	}
	for _, length := range []int{5, 64} {
		if _, err := RandomPIN(length); err == nil {
			t.Errorf("%d digits", length)
		}
	}
	for pin, want := range map[string]bool{
		"123456": true, "987654": true, "246802": false, "111111": true, "121212": true, "112233": true, "123321": true, "12341234": true,
		"123123": true, "12345123": false, "830417": false, "13579135": false,
	} {
		if trivial([]byte(pin)) != want {
			t.Errorf("%s: %v", pin, !want)
		}
	}
}
