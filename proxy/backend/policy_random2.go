package backend

// random2 draws two entries by weight and takes the one with fewer requests in
// flight (Mitzenmacher, "The Power of Two Choices in Randomized Load
// Balancing").
type random2 struct{ candidates }

func (p *random2) pick(tried []*Endpoint) *entry {
	for range quickDraws {
		if e := lessBusyOf(p.random(), p.random()); e.open(tried) {
			return e
		}
	}

	a, b := p.randomOpen(tried), p.randomOpen(tried)
	if a == nil || b == nil {
		return a
	}

	return lessBusyOf(a, b)
}

func lessBusyOf(a, b *entry) *entry {
	if b.lessBusy(a) {
		return b
	}

	return a
}
