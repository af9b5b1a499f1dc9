package config

import "time"

const (
	kib = 1 << 10
	mib = 1 << 20
	tib = 1 << 40
)

// processVariables returns the rows of the process as a whole. LB_ROLE is first
// because others depend on it.
func processVariables() []Variable {
	rows := []Variable{
		{Name: "LB_ROLE", Default: "ingress", Example: "egress",
			form: explained(choice(string(Ingress), string(Egress)), map[string]string{
				"sidecar": "may be both: in front of the app it is ingress, " +
					"beside it for outgoing calls egress",
			}),
			Sentence: "Where this container stands. ingress is the front container, which drains " +
				"and exits after SIGTERM. egress is a neighbour of the app that balances its " +
				"outgoing calls: after SIGTERM it serves until all client connections are closed " +
				"and 1 s has passed, at most LB_DRAIN_TIMEOUT."},
		{Name: "PORT", Default: "8080", Example: "8080", form: count(1, 65535),
			Sentence: "The port to listen on when LB_LISTEN is unset. In the egress role it " +
				"belongs to the app and is ignored."},
		{Name: "LB_LISTEN", Shown: "ingress `:$PORT`, egress `127.0.0.1:15001`",
			derive: defaultListen, Example: ":8080", form: address(),
			Sentence: "The address to listen on, for HTTP/1.1 and HTTP/2 alike (h2c is known by " +
				"its preface)."},
		{Name: "LB_TRUSTED_PROXIES", Shown: "cloudrun in role ingress on Cloud Run, else none",
			derive: defaultTrust, Example: "10.0.0.0/8;192.168.0.0/16", form: trust(),
			Sentence: "Which proxies' X-Forwarded-For and X-Forwarded-Proto are trusted: cloudrun " +
				"is the last hop, gclb+cloudrun the last two (safe only when the service admits " +
				"nothing but the load balancer), a hop count, or peers in a list of networks. " +
				"+host behind a count or a network (10.0.0.0/8+host) also trusts " +
				"X-Forwarded-Host, Forwarded, X-Real-IP and the like: only for proxies that " +
				"set or remove those fields of their clients. All other forwarding fields are " +
				"dropped."},
		{Name: "LB_TLS_CERT_FILE", Example: "/etc/tls/tls.crt", form: file(),
			Sentence: "The certificate chain for clients, in PEM. With LB_TLS_KEY_FILE the " +
				"listener speaks TLS; read again when it changes."},
		{Name: "LB_TLS_KEY_FILE", Example: "/etc/tls/tls.key", form: file(),
			Sentence: "The private key of LB_TLS_CERT_FILE, in PEM."},
		{Name: "LB_TLS_CLIENT_CA_FILE", Example: "/etc/tls/clients-ca.crt", form: certificates(),
			Sentence: "Clients must show a certificate that one of these has signed, in PEM; read " +
				"again when it changes. Backends get it in Client-Cert (RFC 9440), which never " +
				"passes inbound, and neither does X-Forwarded-Client-Cert. Needs LB_TLS_CERT_FILE. " +
				"It means nothing behind a front end that ends TLS itself, as Cloud Run's does."},
	}

	rows = append(rows, limitVariables()...)
	rows = append(rows, lifeVariables()...)
	return inSection(processSection, false, rows)
}

// maxConnections is the largest LB_MAX_CONNECTIONS.
const maxConnections = 1_000_000

// limitVariables returns the rows of the limits for clients.
func limitVariables() []Variable {
	return []Variable{
		{Name: "LB_HEADER_TIMEOUT", Default: "10s", Example: "5s",
			form: duration(time.Nanosecond, day),
			Sentence: "How long a client may take for a request's head. That of a connection's " +
				"first request counts from when the connection was accepted."},
		{Name: "LB_STALL_TIMEOUT", Default: "60s", Example: "30s",
			form: duration(time.Nanosecond, day),
			Sentence: "The longest time without progress while a request's body is read or a " +
				"response is written. Upgrades, idle event streams and request bodies of " +
				"gRPC are exempt."},
		{Name: "LB_IDLE_TIMEOUT", Default: "620s", Example: "90s",
			form: duration(time.Nanosecond, day),
			Sentence: "How long a client's connection may be idle between requests. Google's " +
				"front end keeps its own for 600 s, so the default is longer."},
		{Name: "LB_MAX_HEADER_BYTES", Default: "64KiB", Example: "32KiB", form: size(1*kib, 16*mib),
			Sentence: "The largest head of a request (more gets 431) and of a response (more gets " +
				"502); at most 256 fields."},
		{Name: "LB_MAX_BODY_BYTES", Route: true, Default: "none", Example: "32MiB",
			form:     orNone(size(1, tib), "0"),
			Sentence: "The largest request body; more gets 413."},
		{Name: "LB_MAX_CONNECTIONS", Shown: "as many as memory limit and descriptors allow",
			derive: defaultMaxConnections, Example: "10000", form: orNone(count(1, maxConnections),
				"0"),
			Sentence: "Open client connections. For one more, another is closed that has been " +
				"waited for; if there is none, the new one is refused, never half-served. By " +
				"default " +
				"one for each 12 KiB of the memory that clients may fill, and at most three " +
				"fifths of the descriptors."},
	}
}

// lifeVariables returns the rows of the end of the process, the log and the
// status page.
func lifeVariables() []Variable {
	return []Variable{
		{Name: "LB_GOOGLE_API", Default: defaultGoogleAPI,
			Example: "https://{api}-shop.p.googleapis.com", form: apiAddress(),
			Sentence: "Where Google's APIs are asked for run+list://, gce:// and gce+neg:// targets, " +
				"such as a name of Private Service Connect; {api} stands for run or compute. http " +
				"only on loopback."},
		{Name: "LB_KUBERNETES_ACCOUNT", Default: "/var/run/secrets/kubernetes.io/serviceaccount",
			Example: "/var/run/secrets/pillion", form: absolutePath(),
			Sentence: "The directory with token, ca.crt and namespace of the service account " +
				"that asks for k8s:// targets; read again when they change."},
		{Name: "LB_DRAIN_DELAY", Shown: "0 on Cloud Run, else 3s, at most half of LB_DRAIN_TIMEOUT",
			derive: defaultDrainDelay, Example: "5s", form: duration(0, time.Hour),
			Sentence: "How long after SIGTERM new requests are still accepted, while ready " +
				"answers 503 and clients are asked to close their connections."},
		{Name: "LB_DRAIN_TIMEOUT", Default: "8s", Example: "25s",
			form: duration(time.Nanosecond, time.Hour),
			Sentence: "How long after SIGTERM requests may go on. The process is gone 1.5 s " +
				"later, with exit status 0 also when it had to cut, and the log says how many."},
		{Name: "LB_LOG_LEVEL", Default: "info", Example: "debug",
			form: aliased(choice("debug", "info", "warn", "error"),
				map[string]string{"warning": "warn"}),
			Sentence: "The least severe log lines that are written."},
		{Name: "LB_LOG_FORMAT", Shown: "json, text on a terminal", Example: "text",
			form:     choice("json", "text"),
			Sentence: "The format of log lines. json has Cloud Logging's field names."},
		{Name: "LB_ACCESS_LOG", Shown: "off on Cloud Run, else on", derive: defaultAccessLog,
			Example: "errors",
			form: aliased(choice("on", "off", "errors"),
				map[string]string{"none": "off", "false": "off", "true": "on"}),
			Sentence: "Whether each request has a line in the log. errors: only requests that " +
				"were answered with 5xx, were retried or ejected a backend."},
		{Name: "LB_STATUS_PATH", Default: "/.lb/", Example: "/.balancer/",
			form: orNone(prefix(), ""),
			Sentence: "The beginning of Pillion's own paths: started is 200 once every source of " +
				"backends answered or 5 s passed, ready is 200 from then until SIGTERM, live " +
				"always. All other requests go to the app."},
		{Name: "LB_STATUS_TOKEN", Secret: true, Example: "a-long-random-word", form: secretOf(16),
			Sentence: "The bearer token of the status page, its JSON and the metrics under " +
				"LB_STATUS_PATH. Unset: all three are off."},
	}
}

// inSection completes rows of one section.
func inSection(section string, service bool, rows []Variable) []Variable {
	for i := range rows {
		rows[i].Section = section
		rows[i].Service = (rows[i].Service || service) && !rows[i].Route
	}
	return rows
}
