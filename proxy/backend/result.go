package backend

import (
	"net/http"
	"time"
)

// Result is what one attempt shows about its endpoint's health. The values are
// the kinds of events in the endpoint's window.
type Result uint8

const (
	// Succeeded means that there was an answer that is not a failure of the
	// endpoint.
	Succeeded Result = iota
	// Broken means that there was no connection, no complete answer, or none in
	// time.
	Broken
	// FailedStatus means that the answer has a status of LB_EJECT_STATUS.
	FailedStatus
	// ServerError means that the answer has another status from 500 on, except
	// 501.
	ServerError
)

// Outcome is the result of one attempt. The zero value is no outcome.
type Outcome struct {
	Result Result
	Client string // address of the client, as far as it is believed
	Began  time.Time
	Ended  time.Time // of an answer: when its head came

	interrupted streaks // the streaks that a success ended
}

// ResultOf classifies the status of an answer.
func (s *Service) ResultOf(status int) Result {
	switch {
	case status == http.StatusTooManyRequests:
		// The client sent too many requests (RFC 6585 section 4), even if
		// LB_EJECT_STATUS lists 429.
		return Succeeded
	case s.cfg.Eject.Status.Has(status):
		return FailedStatus
	case status >= 500 && status != http.StatusNotImplemented:
		return ServerError
	}

	return Succeeded
}

// ResultOfCall classifies the status of a gRPC call. UNAVAILABLE (14) is like
// 503 in HTTP. Any other status is the application's answer to its client.
func (s *Service) ResultOfCall(grpcStatus string) Result {
	if grpcStatus == "14" {
		return s.ResultOf(http.StatusServiceUnavailable)
	}
	return Succeeded
}
