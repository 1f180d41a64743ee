package hid

// A layout is what the reports of a FIDO interface look like.
type layout struct {
	in, out     int  // bytes, without a report number
	inID, outID byte // report numbers; zero: the reports have none
}

// Items of a report descriptor (HID 1.11, section 6.2.2), as the prefix byte
// without its two bits of length.
const (
	itemInput       = 0x80
	itemOutput      = 0x90
	itemCollection  = 0xa0
	itemEnd         = 0xc0
	itemUsagePage   = 0x04
	itemReportSize  = 0x74
	itemReportID    = 0x84
	itemReportCount = 0x94
	itemPush        = 0xa4
	itemPop         = 0xb4
	itemUsage       = 0x08
	itemLong        = 0xfe // the whole prefix

	itemType = 0x0c // the bits that say what sort of item it is
	typeMain = 0x00
)

const (
	fidoUsage = 0xf1d0<<16 | 1 // usage page and usage of CTAPHID

	maxReportBits = 8 * 4096 // more than any system carries
	maxPushed     = 16       // states on the stack of Push and Pop
)

// globals are the items that hold until they are set anew.
type globals struct {
	page, size, count uint32
	id                byte
}

// parseDescriptor looks for the first application collection with the usage of
// CTAPHID and returns the layout of its reports. The lengths of items differ
// between makers: a usage page comes in two bytes or in four. An item that is
// cut off ends the descriptor.
func parseDescriptor(descriptor []byte) (_ layout, ok bool) {
	var (
		global   globals
		pushed   []globals
		usage    uint32 // the first since the last main item, with its page if it has one
		hasUsage bool
		depth    int // of nested collections
		inFIDO   bool
		in, out  fields
	)
	for {
		item, value, rest, more := nextItem(descriptor)
		if !more {
			return newLayout(in, out)
		}
		descriptor = rest
		switch item {
		case itemUsagePage:
			global.page = value
		case itemReportSize:
			global.size = value
		case itemReportCount:
			global.count = value
		case itemReportID:
			global.id = byte(value)
		case itemPush:
			if len(pushed) == maxPushed {
				return layout{}, false
			}
			pushed = append(pushed, global)
		case itemPop:
			if len(pushed) > 0 {
				global, pushed = pushed[len(pushed)-1], pushed[:len(pushed)-1]
			}
		case itemUsage:
			if !hasUsage {
				usage, hasUsage = value, true
			}
		case itemCollection:
			if usage>>16 == 0 {
				usage |= global.page << 16
			}
			if depth == 0 && hasUsage && usage == fidoUsage {
				inFIDO = true
			}
			depth++
		case itemInput:
			if inFIDO {
				in.add(global)
			}
		case itemOutput:
			if inFIDO {
				out.add(global)
			}
		case itemEnd:
			depth = max(depth-1, 0)
			if inFIDO && depth == 0 {
				return newLayout(in, out)
			}
		}
		if item&itemType == typeMain {
			usage, hasUsage = 0, false // usages are for one main item
		}
	}
}

// nextItem takes one item off a descriptor: its prefix without the length, and
// its data.
func nextItem(descriptor []byte) (item byte, value uint32, rest []byte, ok bool) {
	if len(descriptor) == 0 {
		return 0, 0, nil, false
	}
	prefix := descriptor[0]
	header, length := 1, int(prefix&3)
	if length == 3 {
		length = 4
	}
	if prefix == itemLong {
		if len(descriptor) < 2 {
			return 0, 0, nil, false
		}
		header, length = 3, int(descriptor[1]) // the third byte is a tag; none is defined
	}
	if len(descriptor) < header+length {
		return 0, 0, nil, false
	}
	data, rest := descriptor[header:header+length], descriptor[header+length:]
	if prefix == itemLong {
		return itemLong, 0, rest, true
	}
	for i, b := range data {
		value |= uint32(b) << (8 * i)
	}
	return prefix &^ 3, value, rest, true
}

// fields adds up the fields of one report.
type fields struct {
	found bool
	id    byte
	bits  uint64
}

// add counts a field of the first report of its kind; CTAPHID uses one only.
func (f *fields) add(g globals) {
	if !f.found {
		f.found, f.id = true, g.id
	}
	if f.id == g.id {
		// Neither product nor sum runs over.
		f.bits = min(f.bits+uint64(g.size)*uint64(g.count), maxReportBits+1)
	}
}

func newLayout(in, out fields) (_ layout, ok bool) {
	if in.bits == 0 || out.bits == 0 || in.bits > maxReportBits || out.bits > maxReportBits {
		return layout{}, false
	}
	return layout{
		in: int(in.bits+7) / 8, inID: in.id,
		out: int(out.bits+7) / 8, outID: out.id,
	}, true
}
