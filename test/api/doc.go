// Package api holds what the library exports to the list in api.txt: a name that is gone
// or has changed breaks programs, and shows there in review. After a change that is
// meant:
//
//	go test ./test/api -update
//
// "make api" shows what is new and what is gone since the last tag.
package api
