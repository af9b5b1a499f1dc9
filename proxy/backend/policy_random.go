package backend

// random chooses by weight. Choices are independent, so that the requests of
// several balancers are spread evenly although the balancers know nothing of
// each other.
type random struct{ candidates }

func (p *random) pick(tried []*Endpoint) *entry {
	for range quickDraws {
		if e := p.random(); e.open(tried) {
			return e
		}
	}

	return p.randomOpen(tried)
}
