package conformance

func (p *probe) hmacSecretSeries() {}
func (p *probe) credBlobSeries()   {}
