package arrays

// Wire is the buffer that the driver was given.
func (p *Params) Wire() []byte { return p.wire[:cap(p.wire)] }
