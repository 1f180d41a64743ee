package simulator

// hidReportDescriptor is that of every security key: usage page F1D0, usage 1,
// size bytes in and as many out, no report IDs (CTAP 2.1, section 11.2.8.2).
func hidReportDescriptor(size int) []byte {
	return []byte{
		0x06, 0xd0, 0xf1, // usage page (FIDO alliance)
		0x09, 0x01, // usage (CTAPHID)
		0xa1, 0x01, // collection (application)
		0x09, 0x20, // usage (data in)
		0x15, 0x00, 0x26, 0xff, 0x00, // logical minimum 0, maximum 255
		0x75, 0x08, 0x95, byte(size), // 8 bits, so many times
		0x81, 0x02, // input (data, variable, absolute)
		0x09, 0x21, // usage (data out)
		0x15, 0x00, 0x26, 0xff, 0x00,
		0x75, 0x08, 0x95, byte(size),
		0x91, 0x02, // output (data, variable, absolute)
		0xc0, // end of collection
	}
}
