package conformance

func (p *probe) credBlobSeries() {}
