package main

import "golang.org/x/sys/windows"

// isElevated reports whether this program runs as an administrator.
func isElevated() bool { return windows.GetCurrentProcessToken().IsElevated() }
