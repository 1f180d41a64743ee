// Package trace writes down what goes between a program and a key, and reads it
// back. Secrets are taken out before anything is written.
//
//	w := trace.NewWriter(file, trace.Header{Tool: "fidokey 1.0"})
//	dev = trace.Record(dev, w) // goes on as before, and is written down
//	...
//	err := w.Err()
//
// [Read] reads a trace, simulator.NewPlayback plays it as a key. docs/trace.md is
// the format, with what is redacted and what is not: accounts and relying parties
// stay readable.
package trace
