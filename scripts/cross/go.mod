// A module of its own, so that nothing of it comes to those who import fidokey.
module github.com/fidokey/fidokey/scripts/cross

go 1.26.0

require golang.org/x/tools v0.40.0

require (
	golang.org/x/mod v0.31.0 // indirect
	golang.org/x/sync v0.19.0 // indirect
)
