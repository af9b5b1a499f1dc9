package wire

import "strings"

// canonicalWebSocket is how the names of RFC 6455 begin in their canonical
// form.
const canonicalWebSocket = "Sec-Websocket-"

// Spelling returns the HTTP/1.1 spelling of a canonical field name. Names have
// no case (RFC 9110 section 5.1), but some servers and clients recognise the
// names for WebSockets only in the spelling of RFC 6455.
func Spelling(name string) string {
	suffix, ok := strings.CutPrefix(name, canonicalWebSocket)
	if !ok {
		return name
	}

	switch suffix {
	case "Accept":
		return "Sec-WebSocket-Accept"
	case "Extensions":
		return "Sec-WebSocket-Extensions"
	case "Key":
		return "Sec-WebSocket-Key"
	case "Protocol":
		return "Sec-WebSocket-Protocol"
	case "Version":
		return "Sec-WebSocket-Version"
	}

	return "Sec-WebSocket-" + suffix
}
