// Package smallpages has Linux give a program that imports it memory in small pages only.
// Where the kernel's default is huge ones, as Debian's is, each place of the heap that is
// touched takes 2 MiB, and a program that needs one takes up to eight. The Go runtime's
// own setting, GODEBUG=disablethp=1, cannot be built in.
package smallpages
