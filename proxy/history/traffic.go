package history

// Traffic is all requests together, as the status page shows them.
type Traffic struct {
	InFlight int `json:"inFlight"` // requests
	Tunnels  int `json:"tunnels"`  // open WebSockets

	// What happened in the last minute and in the last ten; nil without a
	// status page.
	Recent *Recent `json:"recent,omitempty"`
	Plot   *Plot   `json:"plot,omitempty"`

	Services  []Service        `json:"services"`
	Sessions  map[string]int64 `json:"sessions,omitempty"`  // requests by the verdict on their cookie
	Retries   map[string]int64 `json:"retries,omitempty"`   // by class
	Ejections map[string]int64 `json:"ejections,omitempty"` // by backend
	Refused   map[string]int64 `json:"refused,omitempty"`   // requests by the reason of a gate
}

// Service is the state of a backend service beside its backends.
type Service struct {
	Name    string `json:"name,omitempty"` // if there are several
	Limit   int    `json:"limit"`          // LB_MAX_IN_FLIGHT; 0 is none
	Waiting int64  `json:"waiting"`        // in the queue

	RetryBudget float64 `json:"retryBudget"` // retries that may be made now
}
