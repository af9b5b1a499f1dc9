package proxy

// EndpointState is an endpoint as the status page shows it.
type EndpointState struct {
	Name, State string
	InFlight    int64
	Idle        int
}

// Endpoints returns the state of every endpoint, by name.
func (p *Proxy) Endpoints() []EndpointState { return nil }
