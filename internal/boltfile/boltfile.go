// Package boltfile looks through a file of bbolt's before bbolt does, which believes what
// is in there: it follows pointers out of the file, and in circles until the stack is
// full. That ends the program, as does a fault in one of bbolt's own goroutines; neither
// can be caught.
package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// ErrDamaged is for a file that bbolt must not see.
var ErrDamaged = errors.New("file is damaged")

// The form of a file: pages of one size, the first two of which say where the others are.
// Numbers are the machine's.
const (
	pageHead = 16 // number, kind, count of elements, pages more that belong to it
	element  = 16 // in branches and leaves
	metaSize = 64
	metaSum  = 56 // bytes of it that its checksum is of

	branch   = 0x01
	leaf     = 0x02
	freelist = 0x10

	bucketElement = 0x01 // of a leaf: the value is a bucket
	bucketHead    = 16   // root page, sequence

	magic, version          = 0xed0cdaed, 2
	smallestPage, pageSizes = 1 << 10, 15
)

// A meta is one of the first two pages: that of the later transaction counts.
type meta struct {
	Magic, Version, PageSize, Flags           uint32
	Root, Sequence, Freelist, Pages, Tx, Hash uint64
}

// Check reports whether all that bbolt follows in a file of this size stays in it, and
// leads to each page once. It reads no more than heads of pages, and keeps nobody from
// changing them. The list of free pages must be in the file, for bbolt makes one in a
// goroutine of its own.
func Check(file io.ReaderAt, size int64) error {
	m, err := lastMeta(file)
	if err != nil {
		return err
	}
	c := &checker{file: file, pageSize: int64(m.PageSize), ahead: []uint64{m.Root}}
	if m.Pages > uint64(size/c.pageSize) {
		return damaged("it has %d bytes, and should have %d pages of %d", size, m.Pages, c.pageSize)
	}
	c.seen = make([]bool, m.Pages)
	if err := c.free(m.Freelist); err != nil {
		return err
	}
	for len(c.ahead) > 0 {
		number := c.ahead[0]
		c.ahead = c.ahead[1:]
		if err := c.page(number); err != nil {
			return err
		}
	}
	return nil
}

// CheckFile is Check for the file at a path.
func CheckFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return Check(f, info.Size())
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// lastMeta finds the meta that bbolt will take, by the same rules.
func lastMeta(file io.ReaderAt) (*meta, error) {
	first := metaAt(file, 0)
	for i := range pageSizes {
		size := int64(smallestPage) << i
		if first != nil && int64(first.PageSize) != size {
			continue
		}
		second := metaAt(file, size)
		switch {
		case first == nil && second == nil:
			continue
		case second == nil:
			return first, nil
		case int64(second.PageSize) != size:
			return nil, damaged("pages of %d bytes, or of %d", size, second.PageSize)
		case first == nil || second.Tx > first.Tx:
			return second, nil
		}
		return first, nil
	}
	return nil, damaged("its first pages say nothing")
}

// metaAt returns nil where there is no sound one.
func metaAt(file io.ReaderAt, offset int64) *meta {
	var b [metaSize]byte
	var m meta
	if _, err := file.ReadAt(b[:], offset+pageHead); err != nil {
		return nil
	}
	if _, err := binary.Decode(b[:], binary.NativeEndian, &m); err != nil {
		return nil
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSum])
	if m.Magic != magic || m.Version != version || m.Hash != sum.Sum64() {
		return nil
	}
	return &m
}

type checker struct {
	file     io.ReaderAt
	pageSize int64
	seen     []bool // by the number of the page
	ahead    []uint64
	at       []byte // the page at hand, without those that belong to it
}

// A head is that of a page.
type head struct {
	Number      uint64
	Kind, Count uint16
	More        uint32
}

// read uses a buffer again, if it is large enough.
func (c *checker) read(buffer []byte, offset, n int64) ([]byte, error) {
	b := slices.Grow(buffer[:0], int(n))[:n]
	_, err := c.file.ReadAt(b, offset)
	return b, err
}

// begin reads a page that nobody has seen before. Its room is what it has with the pages
// that belong to it.
func (c *checker) begin(number uint64) (h head, offset, room int64, err error) {
	if number < 2 || number >= uint64(len(c.seen)) {
		return h, 0, 0, damaged("there is no page %d", number)
	}
	offset = int64(number) * c.pageSize
	if c.at, err = c.read(c.at, offset, c.pageSize); err != nil {
		return h, 0, 0, err
	}
	h = headOf(c.at)
	if h.Number != number {
		return h, 0, 0, damaged("page %d calls itself %d", number, h.Number)
	}
	for i := range uint64(h.More) + 1 {
		if err := c.see(number + i); err != nil {
			return h, 0, 0, err
		}
	}
	return h, offset, (int64(h.More) + 1) * c.pageSize, nil
}

func headOf(b []byte) head {
	n := binary.NativeEndian
	return head{n.Uint64(b), n.Uint16(b[8:]), n.Uint16(b[10:]), n.Uint32(b[12:])}
}

func (c *checker) see(number uint64) error {
	if number < 2 || number >= uint64(len(c.seen)) {
		return damaged("there is no page %d", number)
	}
	if c.seen[number] {
		return damaged("two lead to page %d", number)
	}
	c.seen[number] = true
	return nil
}

// free reads the list of free pages.
func (c *checker) free(number uint64) error {
	h, offset, room, err := c.begin(number)
	if err != nil {
		return err
	}
	count, offset, room := uint64(h.Count), offset+pageHead, room-pageHead
	if h.Kind == freelist && h.Count == 0xffff { // the count has no room in the head
		b, err := c.read(nil, offset, 8)
		if err != nil {
			return err
		}
		count, offset, room = binary.NativeEndian.Uint64(b), offset+8, room-8
	}
	if h.Kind != freelist || count > uint64(room/8) {
		return damaged("page %d is no list of free pages", number)
	}
	b, err := c.read(nil, offset, int64(count)*8)
	if err != nil {
		return err
	}
	for ; len(b) > 0; b = b[8:] {
		if err := c.see(binary.NativeEndian.Uint64(b)); err != nil {
			return err
		}
	}
	return nil
}

// page looks at a page of a tree, and notes those that it leads to.
func (c *checker) page(number uint64) error {
	h, offset, room, err := c.begin(number)
	if err != nil {
		return err
	}
	if h.Kind != leaf && (h.Kind != branch || h.Count == 0) || int64(h.Count)*element > room-pageHead {
		return damaged("page %d is none of a tree", number)
	}
	if end := pageHead + int64(h.Count)*element; end > c.pageSize { // which few need
		if c.at, err = c.read(c.at, offset, end); err != nil {
			return err
		}
	}
	n := binary.NativeEndian
	for i := range int64(h.Count) {
		e := c.at[pageHead+i*element:]
		if h.Kind == branch {
			if !fits(room, pageHead+i*element, n.Uint32(e), n.Uint32(e[4:]), 0) {
				return damaged("a key of page %d is not in it", number)
			}
			c.ahead = append(c.ahead, n.Uint64(e[8:]))
			continue
		}
		at, key, value := n.Uint32(e[4:]), n.Uint32(e[8:]), n.Uint32(e[12:])
		if !fits(room, pageHead+i*element, at, key, value) {
			return damaged("an element of page %d is not in it", number)
		}
		if n.Uint32(e)&bucketElement != 0 {
			if err := c.bucket(offset+pageHead+i*element+int64(at)+int64(key), int64(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fits reports whether key and value of an element are in the room of its page. Where
// they are counts from the element.
func fits(room, from int64, at, key, value uint32) bool {
	return key > 0 && from+int64(at)+int64(key)+int64(value) <= room
}

// bucket looks at a value that is a bucket: the number of its root page, or a small leaf
// in place of that, without buckets of its own.
func (c *checker) bucket(offset, size int64) error {
	if size < bucketHead || size > c.pageSize {
		return damaged("a bucket of %d bytes", size)
	}
	b, err := c.read(nil, offset, size)
	if err != nil {
		return err
	}
	n := binary.NativeEndian
	if root := n.Uint64(b); root != 0 {
		c.ahead = append(c.ahead, root)
		return nil
	}
	b = b[bucketHead:]
	if len(b) < pageHead {
		return damaged("a bucket without its page")
	}
	h, room := headOf(b), int64(len(b))
	if h.Kind != leaf || int64(h.Count)*element > room-pageHead {
		return damaged("a bucket whose page is no leaf")
	}
	for i := range int64(h.Count) {
		e := b[pageHead+i*element:]
		if n.Uint32(e)&bucketElement != 0 || !fits(room, pageHead+i*element, n.Uint32(e[4:]), n.Uint32(e[8:]), n.Uint32(e[12:])) {
			return damaged("an element of a bucket is not in it")
		}
	}
	return nil
}
