package config

import "time"

const (
	kib = 1 << 10
	mib = 1 << 20
	tib = 1 << 40
)

// processVariables are the rows of the process as a whole. LB_ROLE is first because others depend on it.
func processVariables() []Variable {
	rows := []Variable{
		{Name: "LB_ROLE", Default: "ingress", Example: "egress", form: choice(string(Ingress), string(Egress)),
			Sentence: "Where this container stands. ingress is the front container, which drains and exits after SIGTERM. egress is a neighbour of the app that balances its outgoing calls: after SIGTERM it serves until all client connections are closed and 1 s has passed, at most LB_DRAIN_TIMEOUT."},
		{Name: "PORT", Default: "8080", Example: "8080", form: count(1, 65535),
			Sentence: "The port to listen on when LB_LISTEN is unset. In the egress role it belongs to the app and is ignored."},
		{Name: "LB_LISTEN", Shown: "ingress `:$PORT`, egress `127.0.0.1:15001`", derive: defaultListen, Example: ":8080", form: address(),
			Sentence: "The address to listen on, for HTTP/1.1 and HTTP/2 alike (h2c is known by its preface)."},
		{Name: "LB_TRUSTED_PROXIES", Shown: "cloudrun in role ingress on Cloud Run, else none", derive: defaultTrust, Example: "10.0.0.0/8;192.168.0.0/16", form: trust(),
			Sentence: "Whom X-Forwarded-* is believed from: cloudrun is the last hop, gclb+cloudrun the last two (safe only when the service admits nothing but the load balancer), a hop count, or peers in a list of networks. From others all forwarding fields are dropped."},
		{Name: "LB_TLS_CERT_FILE", Example: "/etc/tls/tls.crt", form: file(),
			Sentence: "The certificate chain for clients, in PEM. With LB_TLS_KEY_FILE the listener speaks TLS; read again when it changes."},
		{Name: "LB_TLS_KEY_FILE", Example: "/etc/tls/tls.key", form: file(),
			Sentence: "The private key of LB_TLS_CERT_FILE, in PEM."},
	}
	rows = append(rows, limitVariables()...)
	rows = append(rows, lifeVariables()...)
	return inSection(processSection, false, rows)
}

// limitVariables are the limits towards clients.
func limitVariables() []Variable {
	return []Variable{
		{Name: "LB_HEADER_TIMEOUT", Default: "10s", Example: "5s", form: duration(time.Nanosecond, day),
			Sentence: "How long a client may take for a request's head."},
		{Name: "LB_STALL_TIMEOUT", Default: "60s", Example: "30s", form: duration(time.Nanosecond, day),
			Sentence: "How long a request may make no progress while body bytes are awaited or a write to the client blocks. Upgrades, idle event streams and, over HTTP/2, request bodies of gRPC or without a Content-Length are exempt."},
		{Name: "LB_IDLE_TIMEOUT", Default: "620s", Example: "90s", form: duration(time.Nanosecond, day),
			Sentence: "How long a client's connection may be idle between requests. Google's front end keeps its own for 600 s, so ours is longer."},
		{Name: "LB_MAX_HEADER_BYTES", Default: "64KiB", Example: "32KiB", form: size(1*kib, 16*mib),
			Sentence: "The largest head of a request (more gets 431) and of a response (more gets 502); at most 256 fields."},
		{Name: "LB_MAX_BODY_BYTES", Default: "none", Example: "32MiB", form: orNone(size(1, tib), "0"),
			Sentence: "The largest request body; more gets 413."},
		{Name: "LB_MAX_CONNECTIONS", Default: "none", Example: "10000", form: orNone(count(1, 1_000_000), "0"),
			Sentence: "Open client connections; more are refused, never half-served."},
	}
}

// lifeVariables are about the end of the process and what it tells about itself meanwhile.
func lifeVariables() []Variable {
	return []Variable{
		{Name: "LB_DRAIN_DELAY", Shown: "0 on Cloud Run, else 3s, at most half of LB_DRAIN_TIMEOUT", derive: defaultDrainDelay, Example: "5s", form: duration(0, time.Hour),
			Sentence: "How long after SIGTERM new requests are still accepted while we say that we are not ready and ask clients to close their connections."},
		{Name: "LB_DRAIN_TIMEOUT", Default: "8s", Example: "25s", form: duration(time.Nanosecond, time.Hour),
			Sentence: "How long after SIGTERM requests may go on. The process is gone 1.5 s later, with exit status 0 also when it had to cut, and the log says how many."},
		{Name: "LB_LOG_LEVEL", Default: "info", Example: "debug", form: choice("debug", "info", "warn", "error"),
			Sentence: "The least severe log lines that are written."},
		{Name: "LB_LOG_FORMAT", Shown: "json, text on a terminal", Example: "text", form: choice("json", "text"),
			Sentence: "One line an event, json with Cloud Logging's field names."},
		{Name: "LB_ACCESS_LOG", Shown: "off on Cloud Run, else on", derive: defaultAccessLog, Example: "errors",
			form:     aliased(choice("on", "off", "errors"), map[string]string{"none": "off"}),
			Sentence: "One line a request; errors are those answered with 5xx, retried or that ejected an endpoint."},
		{Name: "LB_STATUS_PATH", Default: "/.lb/", Example: "/.balancer/", form: orNone(prefix(), ""),
			Sentence: "The beginning of our own paths: started is 200 once every source of backends answered or 5 s passed, ready is 200 from then until SIGTERM, live always. Every other target goes to the app."},
		{Name: "LB_STATUS_TOKEN", Secret: true, Example: "a-long-random-word", form: secretOf(16),
			Sentence: "Who knows it sees the status page, its JSON and the metrics under LB_STATUS_PATH. Unset: nobody does."},
	}
}

// inSection completes rows of one section.
func inSection(section string, service bool, rows []Variable) []Variable {
	for i := range rows {
		rows[i].Section = section
		rows[i].Service = rows[i].Service || service
	}
	return rows
}
