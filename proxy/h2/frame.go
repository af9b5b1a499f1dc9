package h2

import (
	"encoding/binary"
	"fmt"
)

// Frame types, RFC 9113 section 6.
const (
	frameData byte = iota
	frameHeaders
	framePriority
	frameRSTStream
	frameSettings
	framePushPromise
	framePing
	frameGoAway
	frameWindowUpdate
	frameContinuation
)

// Flags of frames.
const (
	flagEndStream  byte = 0x01
	flagAck        byte = 0x01
	flagEndHeaders byte = 0x04
	flagPadded     byte = 0x08
	flagPriority   byte = 0x20
)

// errorCode is an error code of RFC 9113 section 7.
type errorCode uint32

const (
	noError errorCode = iota
	protocolError
	internalError
	flowControlError
	settingsTimeout
	streamClosed
	frameSizeError
	refusedStream
	cancel
	compressionError
	connectFailed
	enhanceYourCalm
	inadequateSecurity
	http11Required
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
	"CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String returns the code in the RFC's spelling.
func (c errorCode) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("error code %d", uint32(c))
}

const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113 section 3.4

	frameHead    = 9         // bytes before a frame's payload
	maxFrame     = 16 << 10  // the largest payload that is received, and that is sent
	firstWindow  = 65535     // of a connection and of its streams, before SETTINGS
	largestValue = 1<<31 - 1 // of a stream's number and of a window
)

// appendFrame appends the head of a frame. The caller appends its payload.
func appendFrame(b []byte, length int, kind, flags byte, id uint32) []byte {
	return append(b,
		byte(length>>16), byte(length>>8), byte(length), kind, flags,
		byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

func appendRSTStream(b []byte, id uint32, c errorCode) []byte {
	return appendUint32(appendFrame(b, 4, frameRSTStream, 0, id), uint32(c))
}

func appendWindowUpdate(b []byte, id uint32, n int) []byte {
	return appendUint32(appendFrame(b, 4, frameWindowUpdate, 0, id), uint32(n))
}

func appendGoAway(b []byte, last uint32, c errorCode) []byte {
	return appendUint32(appendUint32(appendFrame(b, 8, frameGoAway, 0, 0), last), uint32(c))
}

// closeBlock completes a HEADERS frame. The space for its head is at index at,
// and its field block follows. A block over the limit of a frame is cut into
// CONTINUATION frames.
func closeBlock(b []byte, at int, id uint32, end bool, limit int) []byte {
	flags := byte(0)
	if end {
		flags = flagEndStream
	}
	n := len(b) - at - frameHead
	if n <= limit {
		appendFrame(b[:at], n, frameHeaders, flags|flagEndHeaders, id)
		return b
	}

	block := append([]byte(nil), b[at+frameHead:]...)
	b = b[:at]
	for kind := frameHeaders; len(block) > 0; kind, flags = frameContinuation, 0 {
		n := min(len(block), limit)
		if n == len(block) {
			flags |= flagEndHeaders
		}
		b = append(appendFrame(b, n, kind, flags, id), block[:n]...)
		block = block[n:]
	}
	return b
}
