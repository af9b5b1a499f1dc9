package h1

import "net/http"

// kind is what a field means to the parser and to the code that writes
// messages.
type kind uint8

// plain fields have no meaning here. routing fields decide how a message is
// understood, by which host, or for whom, so they must not be in a trailer
// section (RFC 9110 section 6.5.1). Callers can't set the kinds from date on.
const (
	plain kind = iota
	routing
	date
	host
	contentLength
	transferEncoding
	connection
	upgrade
	expect
	trailer
	te
	keepAlive
	hopByHop
)

// canonical returns a field name in the form of net/http's map keys, and its
// kind. Frequent names in their usual spellings cost no memory.
func canonical(name string) (string, kind) {
	key, k, _ := spelled(name)
	return key, k
}

// spelled is canonical. It also reports whether the name is in the table, and
// therefore a valid token.
func spelled(name string) (key string, k kind, known bool) {
	if key, k := knownName(name); key != "" {
		return key, k, true
	}

	key = http.CanonicalHeaderKey(name)
	if key != name {
		if known, k := knownName(key); known != "" {
			return known, k, true
		}
	}

	return key, plain, false
}

// knownName returns a frequent name and its kind, or "" for any other name. The
// table is a switch and not a map: the compiler turns it into a binary search
// by length and content, which is faster than hashing. It is divided by length,
// so that each part is short.
func knownName(name string) (string, kind) {
	switch n := len(name); {
	case n <= 7:
		return knownTo7(name)
	case n <= 12:
		return knownTo12(name)
	case n <= 16:
		return knownTo16(name)
	}

	return knownLong(name)
}

// knownTo7 finds the frequent names of up to 7 letters.
func knownTo7(name string) (string, kind) {
	switch name {
	case "Accept", "accept":
		return "Accept", plain
	case "Age", "age":
		return "Age", plain
	case "Allow", "allow":
		return "Allow", plain
	case "Alt-Svc", "alt-svc":
		return "Alt-Svc", plain
	case "Baggage", "baggage":
		return "Baggage", plain
	case "Cookie", "cookie":
		return "Cookie", routing
	case "Date", "date":
		return "Date", date
	case "Dnt", "dnt":
		return "Dnt", plain
	case "Etag", "etag":
		return "Etag", plain
	case "Expect", "expect":
		return "Expect", expect
	case "Expires", "expires":
		return "Expires", plain
	case "From", "from":
		return "From", plain
	case "Host", "host":
		return "Host", host
	case "Link", "link":
		return "Link", plain
	case "Origin", "origin":
		return "Origin", plain
	case "Pragma", "pragma":
		return "Pragma", routing
	case "Range", "range":
		return "Range", routing
	case "Referer", "referer":
		return "Referer", plain
	case "Server", "server":
		return "Server", plain
	case "Te", "te":
		return "Te", te
	case "Trailer", "trailer":
		return "Trailer", trailer
	case "Upgrade", "upgrade":
		return "Upgrade", upgrade
	case "Vary", "vary":
		return "Vary", plain
	case "Via", "via":
		return "Via", routing
	case "Warning", "warning":
		return "Warning", plain
	}

	return "", plain
}

// knownTo12 finds the frequent names of 8 to 12 letters.
func knownTo12(name string) (string, kind) {
	switch name {
	case "Cdn-Loop", "cdn-loop":
		return "Cdn-Loop", routing
	case "Connection", "connection":
		return "Connection", connection
	case "Content-Type", "content-type":
		return "Content-Type", routing
	case "Early-Data", "early-data":
		return "Early-Data", plain
	case "Forwarded", "forwarded":
		return "Forwarded", routing
	case "Grpc-Message", "grpc-message":
		return "Grpc-Message", plain
	case "Grpc-Status", "grpc-status":
		return "Grpc-Status", plain
	case "If-Match", "if-match":
		return "If-Match", routing
	case "If-Range", "if-range":
		return "If-Range", routing
	case "Keep-Alive", "keep-alive":
		return "Keep-Alive", keepAlive
	case "Location", "location":
		return "Location", routing
	case "Max-Forwards", "max-forwards":
		return "Max-Forwards", routing
	case "Priority", "priority":
		return "Priority", plain
	case "Retry-After", "retry-after":
		return "Retry-After", plain
	case "Sec-Ch-Ua", "sec-ch-ua":
		return "Sec-Ch-Ua", plain
	case "Set-Cookie", "set-cookie":
		return "Set-Cookie", routing
	case "Traceparent", "traceparent":
		return "Traceparent", plain
	case "Tracestate", "tracestate":
		return "Tracestate", plain
	case "User-Agent", "user-agent":
		return "User-Agent", plain
	case "X-Powered-By", "x-powered-by":
		return "X-Powered-By", plain
	case "X-Real-Ip", "x-real-ip":
		return "X-Real-Ip", routing
	case "X-Request-Id", "x-request-id":
		return "X-Request-Id", plain
	}

	return "", plain
}

// knownTo16 finds the frequent names of 13 to 16 letters.
func knownTo16(name string) (string, kind) {
	switch name {
	case "Accept-Charset", "accept-charset":
		return "Accept-Charset", plain
	case "Accept-Encoding", "accept-encoding":
		return "Accept-Encoding", plain
	case "Accept-Language", "accept-language":
		return "Accept-Language", plain
	case "Accept-Ranges", "accept-ranges":
		return "Accept-Ranges", plain
	case "Authorization", "authorization":
		return "Authorization", routing
	case "Cache-Control", "cache-control":
		return "Cache-Control", routing
	case "Content-Encoding", "content-encoding":
		return "Content-Encoding", routing
	case "Content-Language", "content-language":
		return "Content-Language", plain
	case "Content-Length", "content-length":
		return "Content-Length", contentLength
	case "Content-Location", "content-location":
		return "Content-Location", plain
	case "Content-Range", "content-range":
		return "Content-Range", routing
	case "Http2-Settings", "http2-settings":
		return "Http2-Settings", hopByHop
	case "If-None-Match", "if-none-match":
		return "If-None-Match", routing
	case "Last-Modified", "last-modified":
		return "Last-Modified", plain
	case "Proxy-Connection", "proxy-connection":
		return "Proxy-Connection", hopByHop
	case "Referrer-Policy", "referrer-policy":
		return "Referrer-Policy", plain
	case "Sec-Ch-Ua-Mobile", "sec-ch-ua-mobile":
		return "Sec-Ch-Ua-Mobile", plain
	case "Sec-Fetch-Dest", "sec-fetch-dest":
		return "Sec-Fetch-Dest", plain
	case "Sec-Fetch-Mode", "sec-fetch-mode":
		return "Sec-Fetch-Mode", plain
	case "Sec-Fetch-Site", "sec-fetch-site":
		return "Sec-Fetch-Site", plain
	case "Sec-Fetch-User", "sec-fetch-user":
		return "Sec-Fetch-User", plain
	case "Server-Timing", "server-timing":
		return "Server-Timing", plain
	case "Www-Authenticate", "www-authenticate":
		return "Www-Authenticate", routing
	case "X-Forwarded-For", "x-forwarded-for":
		return "X-Forwarded-For", routing
	case "X-Forwarded-Host", "x-forwarded-host":
		return "X-Forwarded-Host", routing
	case "X-Frame-Options", "x-frame-options":
		return "X-Frame-Options", plain
	case "X-Requested-With", "x-requested-with":
		return "X-Requested-With", plain
	case "X-Xss-Protection", "x-xss-protection":
		return "X-Xss-Protection", plain
	}

	return "", plain
}

// knownLong finds the frequent names of more than 16 letters.
func knownLong(name string) (string, kind) {
	switch name {
	case "Access-Control-Allow-Credentials", "access-control-allow-credentials":
		return "Access-Control-Allow-Credentials", plain
	case "Access-Control-Allow-Headers", "access-control-allow-headers":
		return "Access-Control-Allow-Headers", plain
	case "Access-Control-Allow-Methods", "access-control-allow-methods":
		return "Access-Control-Allow-Methods", plain
	case "Access-Control-Allow-Origin", "access-control-allow-origin":
		return "Access-Control-Allow-Origin", plain
	case "Access-Control-Expose-Headers", "access-control-expose-headers":
		return "Access-Control-Expose-Headers", plain
	case "Access-Control-Max-Age", "access-control-max-age":
		return "Access-Control-Max-Age", plain
	case "Access-Control-Request-Headers", "access-control-request-headers":
		return "Access-Control-Request-Headers", plain
	case "Access-Control-Request-Method", "access-control-request-method":
		return "Access-Control-Request-Method", plain
	case "Content-Disposition", "content-disposition":
		return "Content-Disposition", plain
	case "Content-Security-Policy", "content-security-policy":
		return "Content-Security-Policy", plain
	case "If-Modified-Since", "if-modified-since":
		return "If-Modified-Since", routing
	case "If-Unmodified-Since", "if-unmodified-since":
		return "If-Unmodified-Since", routing
	case "Proxy-Authenticate", "proxy-authenticate":
		return "Proxy-Authenticate", routing
	case "Proxy-Authorization", "proxy-authorization":
		return "Proxy-Authorization", routing
	case "Sec-Ch-Ua-Platform", "sec-ch-ua-platform":
		return "Sec-Ch-Ua-Platform", plain
	case "Sec-Websocket-Accept", "sec-websocket-accept":
		return "Sec-Websocket-Accept", plain
	case "Sec-Websocket-Extensions", "sec-websocket-extensions":
		return "Sec-Websocket-Extensions", plain
	case "Sec-Websocket-Key", "sec-websocket-key":
		return "Sec-Websocket-Key", plain
	case "Sec-Websocket-Protocol", "sec-websocket-protocol":
		return "Sec-Websocket-Protocol", plain
	case "Sec-Websocket-Version", "sec-websocket-version":
		return "Sec-Websocket-Version", plain
	case "Strict-Transport-Security", "strict-transport-security":
		return "Strict-Transport-Security", plain
	case "Transfer-Encoding", "transfer-encoding":
		return "Transfer-Encoding", transferEncoding
	case "Upgrade-Insecure-Requests", "upgrade-insecure-requests":
		return "Upgrade-Insecure-Requests", plain
	case "X-Cloud-Trace-Context", "x-cloud-trace-context":
		return "X-Cloud-Trace-Context", plain
	case "X-Content-Type-Options", "x-content-type-options":
		return "X-Content-Type-Options", plain
	case "X-Forwarded-Proto", "x-forwarded-proto":
		return "X-Forwarded-Proto", routing
	case "X-Serverless-Authorization", "x-serverless-authorization":
		return "X-Serverless-Authorization", routing
	}

	return "", plain
}
