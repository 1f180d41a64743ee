// Package release tests what "make release" makes, as those get it who install it.
package release
