// Package discovery finds the backends that should exist now. It knows nothing
// of requests, health or cookies.
//
// Parse turns the items of LB_BACKENDS into targets. For each target, Discovery
// runs a source, which reports full answers. A fixed target has its answer at
// the start. DNS and SRV names are looked up periodically. A Cloud Run name is
// resolved once, when the region and the project of this process are known. A
// metadata attribute or a file is followed; it holds a list of targets, which
// runs inside its source. A list merges the last answers of its sources, sorted
// by name, and publishes the result when it has changed. A failed refresh is
// logged once and changes nothing: the last good answer stays. The sources
// don't affect each other.
//
// Run owns all goroutines: it starts one for each source. A source may start
// others, and waits for them.
package discovery

import "github.com/pillion-lb/pillion/config"

// Backend is a backend that should exist: a comparable value. Name is its
// identity: a backend that is published again with its name keeps its sessions
// and, if nothing else has changed, also its health and connections.
type Backend struct {
	// [A-Za-z0-9._-]{1,64}, or an address such as 10.0.0.7:8080; unique in a
	// set
	Name     string
	Address  string // host:port to dial; the host may be a name
	Fallback string // dialled when Address refuses ("[::1]:8081" for ":8081"); "" for none
	// the target's own authority, as a Host field carries it (default port left
	// out)
	Host    string
	SetHost string // ?host=: this Host, regardless of LB_HOST_HEADER; "" for none
	// https or h2: the certificate is verified for the host of SetHost, else of
	// Host
	TLS      bool
	Protocol config.Protocol // of the target; Auto leaves it to LB_PROTOCOL
	Weight   int             // 0: no new sessions
	// SRV priority: the lowest that has an eligible endpoint is used; 0 for
	// others
	Priority int
	// a Cloud Run service: Host is always the target's own, 401s may refresh
	// the token
	Run      bool
	Audience string // of the ID token that requests carry; "" for none
	Source   string // the item of LB_BACKENDS that it came from
	Guarded  bool   // a nested list names its host: it is dialled with Control
}

// Set is one publication: all backends of the service, sorted by Name.
type Set struct {
	Backends []Backend
	Complete bool // every source has answered at least once
}
