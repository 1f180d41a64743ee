//go:build !windows

package main

// isElevated is about Windows, where only administrators open keys.
func isElevated() bool { return false }
