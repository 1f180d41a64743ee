//go:build race

package ctaptest

const race = true
