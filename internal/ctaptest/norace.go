//go:build !race

package ctaptest

const race = false
