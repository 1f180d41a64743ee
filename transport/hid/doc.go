// Package hid speaks CTAPHID, the framing of CTAP2 and U2F over USB HID (CTAP
// 2.1, section 11.2), and finds the keys that are plugged in.
//
//	infos, err := hid.Devices("")
//	port, err := hid.OpenPath("", infos[0].Path)
//	key, err := hid.Open(ctx, port) // allocates a channel
//	defer key.Close()
//	answer, err := key.Exchange(ctx, []byte{0x04}) // authenticatorGetInfo
//
// A [Port] moves single reports. Behind it is a device of the operating system,
// or a software key in the same process; the framing above it is the same.
// Which [Backend] a build has depends on the system: hidraw on Linux and hid.dll
// on Windows in pure Go, the C library hidapi elsewhere, which needs cgo.
//
// Several programs may have a key open. Open waits for its turn where programs
// lock the device node, and waits while the key says that it is busy. A [Slot]
// waits for a key to be unplugged and plugged in again. What a key does wrong and
// is tolerated is reported by [transport.Tolerate].
//
// What this package leaves out: the meaning of the messages (package ctap2),
// hot-plug events, and a limit on what a foreign key may write into the names of
// an [Info]: quote them before they reach a terminal.
package hid
