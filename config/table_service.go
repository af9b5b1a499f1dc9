package config

import "time"

// backendVariables are the rows about where backends come from and how they are spoken to.
func backendVariables() []Variable {
	rows := []Variable{
		{Name: "LB_BACKENDS", Shown: "required, except on Compute Engine: the attribute lb-backends of the instance, else of the project", Example: "http://127.0.0.1:9000;https://app.example.com?weight=2", form: targets(),
			Sentence: "The backends, as targets [scheme://]authority[?key=value&…]: fixed (http, https, h2, h2c), by DNS (dns://name:port, srv://_http._tcp.name), Cloud Run services by name (run://service.region), a metadata attribute (metadata://instance/attributes/KEY), or demo://3. A literal ';' or ',' is written %3B or %2C."},
		{Name: "LB_DISCOVERY_INTERVAL", Default: "30s", Example: "10s", form: duration(time.Second, day),
			Sentence: "How often names are resolved again, with jitter. After a failure the last good set stays."},
		{Name: "LB_PROTOCOL", Default: "auto", Example: "h2c", form: choice(string(Auto), string(HTTP1), string(H2), string(H2C)),
			Sentence: "What is spoken to backends whose target does not say; auto is HTTP/2 for gRPC requests, else HTTP/1.1. Upgrades always go over HTTP/1.1."},
		{Name: "LB_POLICY", Default: "random", Example: "random2", form: choice(string(Random), string(Random2), string(RoundRobin)),
			Sentence: "How a new session's endpoint is chosen: random by weight, random2 takes the less busy of two draws, round_robin takes turns."},
		{Name: "LB_HOST_HEADER", Default: "auto", Example: "backend", form: choice("auto", "client", "backend"),
			Sentence: "The Host that backends see: the client's, or the target's own. auto is backend for https and run targets, else client. The original goes in X-Forwarded-Host."},
		{Name: "LB_CONNECT_TIMEOUT", Default: "3s", Example: "1s", form: duration(time.Nanosecond, day),
			Sentence: "How long connecting to a backend may take, TLS included."},
		{Name: "LB_RESPONSE_TIMEOUT", Default: "60s", Example: "5m", form: duration(time.Nanosecond, day),
			Sentence: "How long a backend may take from the last byte of the request to the head of its response."},
		{Name: "LB_REQUEST_TIMEOUT", Default: "none", Example: "2m", form: orNone(duration(time.Nanosecond, day), "0"),
			Sentence: "How long a whole exchange may take, waiting and retries included; then 504."},
		{Name: "LB_IDLE_CONN_TIMEOUT", Shown: "4s clear text, 90s TLS and HTTP/2", Example: "30s", form: duration(time.Nanosecond, day),
			Sentence: "How long an unused connection to a backend is kept; less when the backend's Keep-Alive says so."},
	}
	rows = append(rows, queueVariables()...)
	rows = append(rows, credentialVariables()...)
	return inSection(backendsSection, true, rows)
}

// queueVariables bound what one endpoint is given at a time.
func queueVariables() []Variable {
	return []Variable{
		{Name: "LB_MAX_IN_FLIGHT", Default: "none", Example: "80", form: orNone(count(1, 1_000_000), "0"),
			Sentence: "Requests that one endpoint may have at a time."},
		{Name: "LB_QUEUE_SIZE", Shown: "twice LB_MAX_IN_FLIGHT", Example: "200", form: count(1, 1_000_000),
			Sentence: "Requests that may wait, in order, when all endpoints are full; more get 503 with Retry-After."},
		{Name: "LB_QUEUE_TIMEOUT", Default: "1s", Example: "5s", form: duration(0, time.Hour),
			Sentence: "How long a request may wait in the queue; then 503 with Retry-After."},
	}
}

// credentialVariables say whom we believe a backend to be and whom it may believe us to be.
func credentialVariables() []Variable {
	return []Variable{
		{Name: "LB_CA_FILE", Shown: "the system's roots", Example: "/etc/tls/ca.crt", form: certificates(),
			Sentence: "Certificates that backends' certificates are checked against, in PEM; read again when it changes."},
		{Name: "LB_CLIENT_CERT_FILE", Example: "/etc/tls/client.crt", form: file(),
			Sentence: "Our certificate towards backends, in PEM; read again when it changes."},
		{Name: "LB_CLIENT_KEY_FILE", Example: "/etc/tls/client.key", form: file(),
			Sentence: "The private key of LB_CLIENT_CERT_FILE, in PEM."},
		{Name: "LB_IDENTITY", Default: "auto", Example: "https://app.example.com", form: identity(),
			Sentence: "Google ID tokens for backends. auto: for run targets and https hosts that end in .run.app. An audience: for the https targets written in LB_BACKENDS."},
		{Name: "LB_IDENTITY_HEADER", Default: "X-Serverless-Authorization", Example: "Authorization", form: token("the name of a header field"),
			Sentence: "The field that carries the ID token. It never passes inbound."},
		{Name: "LB_IDENTITY_TOKEN_FILE", Example: "/var/run/secrets/token", form: file(),
			Sentence: "A file with an ID token, used instead of the metadata server's; read again when it changes."},
	}
}

// affinityVariables are the rows of session affinity.
func affinityVariables() []Variable {
	return inSection(affinitySection, true, []Variable{
		{Name: "LB_SESSION_AFFINITY", Default: "none", Example: "cookie",
			form:     aliased(choice("none", "cookie"), map[string]string{"none": "false", "off": "false", "cookie": "true"}),
			Sentence: "cookie keeps a browser on the backend that answered it first."},
		{Name: "LB_AFFINITY_COOKIE", Shown: "__lb_ and a short hash of K_SERVICE or OTEL_SERVICE_NAME", derive: defaultCookie, Example: "__lb", form: token("the name of a cookie"),
			Sentence: "The cookie's name. Balancers behind one another need different ones."},
		{Name: "LB_AFFINITY_TTL", Default: "session", Example: "12h",
			form:     sessionLife(),
			Sentence: "How long a session lasts at most; session is as long as the browser keeps the cookie."},
		{Name: "LB_AFFINITY_IDLE", Default: "none", Example: "30m", form: orNone(duration(time.Second, 10*year), "0"),
			Sentence: "How long a session may be idle. The date inside the cookie counts, not only the browser's."},
		{Name: "LB_AFFINITY_SECRET", Secret: true, Example: "a-new-key-of-16-bytes;the-former-key-16-bytes", form: keys(16),
			Sentence: "Keys of the cookie: the first signs, all verify. Unset: a constant key by the service's name, which guards against accident, not forgery."},
		{Name: "LB_AFFINITY_STRICT", Default: "false", Example: "true", form: toggle(),
			Sentence: "true: the session's endpoint or nothing. Retries stay on it, and a backend that is gone answers 503 and deletes the cookie."},
		{Name: "LB_AFFINITY_SAMESITE", Default: "lax", Example: "strict", form: choice("lax", "strict", "none"),
			Sentence: "The cookie's SameSite; none adds Secure and Partitioned."},
	})
}

// sessionLife takes how long a session lasts; the default, session, has a name of its own.
func sessionLife() form {
	f := aliased(orNone(duration(time.Second, 10*year), "0"), map[string]string{"session": "0"})
	f.accepted += ", or session"
	return f
}
