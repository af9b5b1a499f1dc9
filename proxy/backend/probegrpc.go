package backend

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// grpcCheck calls the method Check of grpc.health.v1.Health ("GRPC Health
// Checking Protocol"). The request and the response are protobuf messages of
// one field each, so no protobuf library is needed.
type grpcCheck struct {
	service  *Service
	question []byte
}

// healthPath is the path of the method.
const healthPath = "/grpc.health.v1.Health/Check"

// healthRequest returns a length-prefixed HealthCheckRequest. Its field 1 is
// the name of the service; "" is the server as a whole.
func healthRequest(name string) []byte {
	var message []byte
	if name != "" {
		message = append(message, 1<<3|2) // field 1, a string
		message = binary.AppendUvarint(message, uint64(len(name)))
		message = append(message, name...)
	}

	frame := make([]byte, 5, 5+len(message)) // not compressed
	binary.BigEndian.PutUint32(frame[1:], uint32(len(message)))
	return append(frame, message...)
}

func (c grpcCheck) ask(ctx context.Context, ep *Endpoint, deadline time.Time) (string, error) {
	r := probeRequest(ctx, ep, http.MethodPost, healthPath)
	r.Header["Content-Type"] = []string{"application/grpc"}
	r.Header["Te"] = []string{"trailers"}
	r.Body = io.NopCloser(bytes.NewReader(c.question))
	r.ContentLength = int64(len(c.question))
	resp, err := c.service.send(ep, ep.http2, r, deadline)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}

	answer, err := io.ReadAll(io.LimitReader(resp.Body, probeBody))
	if err != nil {
		return "", probeError(wire.AsError(err))
	}
	if code := grpcStatus(resp); code != "0" {
		return "", fmt.Errorf("grpc-status %s", code)
	}

	return "serving", serving(answer)
}

// grpcStatus returns the call's status. It is in the trailers, or in the head
// of an answer without messages.
func grpcStatus(resp *http.Response) string {
	if code := resp.Trailer.Get("Grpc-Status"); code != "" {
		return code
	}
	if code := resp.Header.Get("Grpc-Status"); code != "" {
		return code
	}

	return "missing"
}

// The values of HealthCheckResponse.ServingStatus.
var servingStatus = [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

var errHealthAnswer = errors.New("answer is no HealthCheckResponse")

// serving reads a length-prefixed HealthCheckResponse and returns nil for
// SERVING.
func serving(frame []byte) error {
	if len(frame) < 5 || frame[0] != 0 ||
		int64(binary.BigEndian.Uint32(frame[1:])) != int64(len(frame)-5) {
		return errHealthAnswer
	}

	status, err := enumField(frame[5:], 1)
	switch {
	case err != nil:
		return err
	case status == 1:
		return nil
	case status < uint64(len(servingStatus)):
		return errors.New(strings.ToLower(servingStatus[status]))
	}

	return fmt.Errorf("serving status %d", status)
}

// enumField returns the last value of a varint field of a protobuf message, or
// 0 if the field is missing. It skips other fields.
func enumField(message []byte, field uint64) (value uint64, err error) {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return 0, errHealthAnswer
		}

		message = message[n:]
		v, size := uint64(0), 0
		switch key & 7 {
		case 0:
			v, size = binary.Uvarint(message)
			if size <= 0 {
				return 0, errHealthAnswer
			}
			if key>>3 == field {
				value = v
			}
		case 1:
			size = 8

		case 2:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)) {
				return 0, errHealthAnswer
			}
			size = n + int(length)
		case 5:
			size = 4
		default:
			return 0, errHealthAnswer
		}

		if size > len(message) {
			return 0, errHealthAnswer
		}

		message = message[size:]
	}

	return value, nil
}
