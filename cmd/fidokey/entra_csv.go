package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// csvOutput is the flag --csv: a new file, or '-' for standard output instead of the
// answer.
type csvOutput string

// check refuses what cannot be done, before anybody is asked.
func (o csvOutput) check(e *env) error {
	switch {
	case o == "-" && e.global.json:
		return usageError{errors.New("--csv - and --json are two forms of one answer: choose one, or name a file")}
	case o != "-":
		return refuseOldFile("--csv", string(o))
	}
	return nil
}

// write writes the rows where they are to go. It returns what is left to say, which is
// nothing but the rows if they go to standard output.
func (o csvOutput) write(rows [][]string, r report) (report, error) {
	if o == "" {
		return r, nil
	}
	var text bytes.Buffer
	if err := writeRows(&text, rows); err != nil {
		return nil, err
	}
	if o == "-" {
		return plainText(text.String()), nil
	}
	return r, writeNewFile(string(o), text.Bytes())
}

func writeRows(out io.Writer, rows [][]string) error {
	w := csv.NewWriter(out)
	for _, row := range rows {
		safe := make([]string, len(row))
		for i, cell := range row {
			safe[i] = csvCell(cell)
		}
		w.Write(safe)
	}
	w.Flush()
	return w.Error()
}

// csvCell keeps a text from being a formula in a spreadsheet: what users may choose, as
// the name of a passkey, could do things there. The quote is what spreadsheets have for
// it. A tab or line end, which some skip, is no more than a blot by then.
func csvCell(s string) string {
	s = printable(s)
	if begin := strings.TrimLeft(s, " \u00a0\u3000\ufffd"); begin != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(begin)[0]) {
		return "'" + s
	}
	return s
}
