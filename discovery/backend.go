// Package discovery says which backends should exist now. It knows nothing of requests, health or cookies.
//
// Parse turns the items of LB_BACKENDS into targets. For each target Discovery runs a source, which reports full
// answers: a fixed target answers before anything starts, DNS and SRV names are asked again and again, a Cloud Run name
// until our region and project are known, and a metadata attribute is followed; its value is a list of targets that
// runs inside its source. A list merges the newest answers of its sources, sorted by name, and publishes the whole
// whenever it changed. A refresh that fails reports a failure, which is logged once and changes nothing: the last good
// answer stays, and one source never hides another.
//
// Run owns every goroutine: it starts one per source, a source starts its own, and each waits for those it started.
package discovery

import "github.com/pillion-lb/pillion/config"

// Backend is what discovery says should exist: a comparable value. Name is its identity: a backend that is published
// again under its name keeps its sessions, and if nothing else changed its health and connections too.
type Backend struct {
	Name     string          // [A-Za-z0-9._-]{1,64}, or an address such as 10.0.0.7:8080; unique in a set
	Address  string          // host:port to dial; the host may be a name
	Fallback string          // dialled when Address refuses ("[::1]:8081" for ":8081"); "" for none
	Host     string          // the target's own authority, as a Host field carries it (default port left out)
	SetHost  string          // ?host=: this Host whatever LB_HOST_HEADER says; "" for none
	TLS      bool            // https or h2: the certificate is verified for the host of Host
	Protocol config.Protocol // what the target says; Auto leaves it to LB_PROTOCOL
	Weight   int             // 0: no new sessions
	Priority int             // SRV priority: the lowest that has an eligible endpoint is used; 0 for others
	Run      bool            // a Cloud Run service: Host is always the target's own, 401s may refresh the token
	Audience string          // of the ID token that requests carry; "" for none
	Source   string          // the item of LB_BACKENDS that it came from
	Guarded  bool            // an attribute names its host: it is dialled with Control
}

// Set is one publication: all backends of the service, sorted by Name.
type Set struct {
	Backends []Backend
	Complete bool // every source has answered at least once
}
