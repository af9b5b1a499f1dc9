package discovery

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
)

// frameLimit is the length of the longest WebSocket frame that a demo backend
// accepts.
const frameLimit = 64 << 10

// The opcodes of RFC 6455 section 5.2 that need a special answer.
const (
	opClose = 8
	opPing  = 9
	opPong  = 10
)

func wantsWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		r.Header.Get("Sec-Websocket-Key") != ""
}

// echoWebSocket sends the backend's name in a first message and repeats every
// frame until the client closes.
func echoWebSocket(w http.ResponseWriter, r *http.Request, name string) {
	// RFC 6455, section 4.2.2: the accept key proves that the request was read
	// as a WebSocket's.
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") +
		"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	h := w.Header()
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h.Set("Sec-Websocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	h.Set("X-Backend", name)
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}

	defer conn.Close()
	// a server that closes does not close hijacked connections
	stop := context.AfterFunc(r.Context(), func() { conn.Close() })
	defer stop()
	if err := writeFrame(rw.Writer, 0x81, []byte(name)); err != nil {
		return
	}

	for {
		first, payload, err := readFrame(rw.Reader)
		if err != nil {
			return
		}

		switch first & 0x0f {
		case opPing:
			first = first&0xf0 | opPong
		case opPong:
			continue
		}

		if err := writeFrame(rw.Writer, first, payload); err != nil || first&0x0f == opClose {
			return
		}
	}
}

// readFrame reads one frame of a client, which is always masked, and returns
// its first byte and its payload.
func readFrame(r *bufio.Reader) (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}

	length := uint64(head[1] & 0x7f)
	switch length {
	case 126:
		var l [2]byte
		_, err = io.ReadFull(r, l[:])
		length = uint64(binary.BigEndian.Uint16(l[:]))
	case 127:
		var l [8]byte
		_, err = io.ReadFull(r, l[:])
		length = binary.BigEndian.Uint64(l[:])
	}

	if err != nil {
		return 0, nil, err
	}

	if head[1]&0x80 == 0 || length > frameLimit {
		return 0, nil, errors.New("reading a frame: it is not masked or too long")
	}

	masked := make([]byte, 4+length)
	if _, err = io.ReadFull(r, masked); err != nil {
		return 0, nil, err
	}

	mask, payload := masked[:4], masked[4:]
	for i := range payload {
		payload[i] ^= mask[i&3]
	}

	return head[0], payload, nil
}

func writeFrame(w *bufio.Writer, first byte, payload []byte) error {
	head := []byte{first}
	if len(payload) < 126 {
		head = append(head, byte(len(payload)))
	} else if len(payload) < 1<<16 {
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(len(payload)))
	} else {
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(len(payload)))
	}

	w.Write(head)
	w.Write(payload)
	return w.Flush()
}
