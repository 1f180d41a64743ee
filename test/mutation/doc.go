// Package mutation proves that the cases of package conformance have teeth. Its
// tests break the simulator in one place at a time and tell wrong answers in its
// name: every break must be noticed, and every case must notice something.
package mutation
