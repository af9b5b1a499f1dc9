package limit

import "time"

// States are what the status page shows of all limits of a process.
type States struct {
	Limits   []LimitState   `json:"limits,omitempty"`
	InFlight *InFlightState `json:"inFlight,omitempty"` // nil: LB_CLIENT_IN_FLIGHT is off
	Store    *StoreState    `json:"store,omitempty"`    // nil: there is no limit that counts
}

// LimitState is an item of LB_RATE_LIMIT at one moment.
type LimitState struct {
	Name    string `json:"name"`
	By      string `json:"by"`            // what is counted by
	Dry     bool   `json:"dry,omitempty"` // it refuses nothing
	Allowed int64  `json:"allowed"`       // requests
	Refused int64  `json:"refused"`       // or would have been, if it is dry
	Known   int    `json:"known"`         // keys that have used something, as this instance knows
	Room    int    `json:"room"`          // for keys; more than that share counts
}

// InFlightState is LB_CLIENT_IN_FLIGHT at one moment.
type InFlightState struct {
	Most    int   `json:"most"`    // of one client
	Clients int   `json:"clients"` // with a request in progress
	Refused int64 `json:"refused"`
}

// StoreState is LB_RATE_LIMIT_STORE at one moment.
type StoreState struct {
	State   StoreWord        `json:"state"`
	Since   *time.Time       `json:"since,omitempty"`
	Retry   *time.Time       `json:"retry,omitempty"` // when it may be tried again; nil: now
	Error   string           `json:"error,omitempty"` // the last
	Results map[string]int64 `json:"results,omitempty"`
}

// StoreWord says who counts.
type StoreWord string

// The words. While a store is not on, each instance counts for itself.
const (
	StoreOn         StoreWord = "on"
	StoreOff        StoreWord = "off" // it has failed
	StoreConnecting StoreWord = "connecting"
	StoreNone       StoreWord = "none" // there is none
)

// State returns the limit as the status page shows it.
func (l *Limit) State(now time.Time) LimitState {
	c := l.Counts()
	s := LimitState{
		Name: l.name, By: l.item.By.String(), Dry: l.dry, Allowed: c.Allowed,
		Refused: c.Refused + c.WouldRefuse,
	}
	s.Known, s.Room = l.table.known(l.rate, now.UnixNano())

	return s
}

// State returns the count as the status page shows it.
func (f *InFlight) State() *InFlightState {
	s := &InFlightState{Most: f.most, Refused: f.refused.Load()}
	for i := range f.shards {
		of := &f.shards[i]
		of.mu.Lock()
		s.Clients += len(of.clients)
		of.mu.Unlock()
	}

	return s
}

// Shown is the store as the status page shows it. A nil store is none.
func (s *Store) Shown(now time.Time) *StoreState {
	if s == nil {
		return &StoreState{State: StoreNone}
	}

	state := s.State()
	shown := &StoreState{State: StoreOn, Since: &state.Since, Error: state.Error,
		Results: map[string]int64{}}
	for result, n := range s.Results {
		shown.Results[result.String()] = n
	}
	switch {
	case state.On:
		return shown
	case state.Error == "":
		shown.State = StoreConnecting
		return shown
	}

	shown.State = StoreOff
	if next := time.Unix(0, s.next.Load()); next.After(now) {
		shown.Retry = &next
	}

	return shown
}
