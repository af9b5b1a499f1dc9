package config

import "time"

// backendVariables returns the rows about where backends come from, and how
// requests are sent to them.
func backendVariables() []Variable {
	rows := []Variable{
		{Name: "LB_BACKENDS", own: true,
			Shown: "required unless a name has backends, except on Compute Engine: the attribute " +
				"lb-backends of the instance, else of the project",
			Example: "http://127.0.0.1:9000;https://app.example.com?weight=2", form: targets(),
			Sentence: "The backends, as targets [scheme://]authority[?key=value&…]: fixed (http, https, " +
				"h2, h2c), by DNS (dns://name:port, srv://_http._tcp.name), Cloud Run services by name " +
				"(run://service.region) or by label (run+list://region?label.KEY=VALUE), the pods of a " +
				"Service of Kubernetes (k8s://service.namespace:port), instances of Compute Engine by group " +
				"(gce://group.location?port=8080) or by label (gce://*.location?label.KEY=VALUE&port=8080), " +
				"a network endpoint group (gce+neg://group.zone), the endpoints that a control plane names " +
				"(xds://CLUSTER?server=HOST:PORT), a list in a file (file:///path) or in a metadata " +
				"attribute (metadata://instance/attributes/KEY), or demo://3; resolver=HOST:PORT asks " +
				"that DNS server. A literal ';' or ',' is written %3B or %2C."},
		{Name: "LB_DISCOVERY_INTERVAL", Default: "30s", Example: "10s",
			form: duration(time.Second, day),
			Sentence: "How often names are resolved, and what run+list://, gce:// and gce+neg:// " +
				"stand for is listed, again, with jitter. After a failure the last good set stays."},
		{Name: "LB_PROTOCOL", Default: "auto", Example: "h2c",
			form: hinted(choice(string(Auto), string(HTTP1), string(H2), string(H2C)), map[string]string{
				"grpc": "auto, h2c (in clear) or h2 (with TLS)", "http2": "h2c (in clear) or h2 (with TLS)",
				"http": "http1", "http1.1": "http1", "http/1.1": "http1",
			}),
			Sentence: "What is spoken to backends whose target does not say; auto is HTTP/2 for " +
				"gRPC requests, else HTTP/1.1. Upgrades always go over HTTP/1.1."},
		{Name: "LB_POLICY", Default: "random", Example: "random2", form: policyForm(),
			Sentence: "How a new session's endpoint is chosen: random by weight, random2 takes " +
				"the less busy of two draws, round_robin takes turns, least_requests takes the " +
				"one with the fewest requests in flight."},
		{Name: "LB_HOST_HEADER", Default: "auto", Example: "backend",
			form: choice("auto", "client", "backend"),
			Sentence: "The Host that backends see: the client's, or the target's own. auto is " +
				"backend for https and run targets, else client. The original goes in " +
				"X-Forwarded-Host."},
		{Name: "LB_CONNECT_TIMEOUT", Default: "3s", Example: "1s",
			form:     duration(time.Nanosecond, day),
			Sentence: "How long connecting to a backend may take, TLS included."},
		{Name: "LB_RESPONSE_TIMEOUT", Route: true, Default: "60s", Example: "5m",
			form: duration(time.Nanosecond, day),
			Sentence: "How long a backend may take from the last byte of the request to the head " +
				"of its response."},
		{Name: "LB_REQUEST_TIMEOUT", Route: true, Default: "none", Example: "2m",
			form: orNone(duration(time.Nanosecond, day), "0"),
			Sentence: "How long a whole exchange may take, waiting and retries included; then " +
				"504."},
		{Name: "LB_IDLE_CONN_TIMEOUT", Shown: "4s clear text, 90s TLS and HTTP/2", Example: "30s",
			form: duration(time.Nanosecond, day),
			Sentence: "How long an unused connection to a backend is kept; less when the " +
				"backend's Keep-Alive says so."},
	}

	rows = append(rows, queueVariables()...)
	rows = append(rows, credentialVariables()...)
	return inSection(backendsSection, true, rows)
}

// queueVariables returns the rows about requests in flight and the queue.
func queueVariables() []Variable {
	return []Variable{
		{Name: "LB_MAX_IN_FLIGHT", Default: "none", Example: "80",
			form:     orNone(count(1, 1_000_000), "0"),
			Sentence: "Requests that one endpoint may have at a time."},
		{Name: "LB_QUEUE_SIZE", Shown: "twice LB_MAX_IN_FLIGHT", Example: "200",
			form: count(1, 1_000_000),
			Sentence: "Requests that may wait, in order, when all endpoints are full; more get " +
				"503 with Retry-After."},
		{Name: "LB_QUEUE_TIMEOUT", Default: "1s", Example: "5s", form: duration(0, time.Hour),
			Sentence: "How long a request may wait in the queue; then 503 with Retry-After."},
	}
}

// credentialVariables returns the rows about certificates and ID tokens for
// backends.
func credentialVariables() []Variable {
	return []Variable{
		{Name: "LB_CA_FILE", Shown: "the system's roots", Example: "/etc/tls/ca.crt",
			form: certificates(),
			Sentence: "Certificates that backends' certificates are checked against, in PEM; read " +
				"again when it changes."},
		{Name: "LB_CLIENT_CERT_FILE", own: true, Example: "/etc/tls/client.crt", form: file(),
			Sentence: "The certificate that is shown to backends, in PEM; read again when it " +
				"changes."},
		{Name: "LB_CLIENT_KEY_FILE", own: true, Example: "/etc/tls/client.key", form: file(),
			Sentence: "The private key of LB_CLIENT_CERT_FILE, in PEM."},
		{Name: "LB_IDENTITY", inherit: isNoAudience, Default: "auto",
			Example: "https://app.example.com", form: identity(),
			Sentence: "Google ID tokens for backends. auto: for run targets and https hosts that " +
				"end in .run.app; ?host= counts before the target's own. An audience: for the " +
				"https targets written in LB_BACKENDS; it is no default for names."},
		{Name: "LB_IDENTITY_HEADER", Default: "X-Serverless-Authorization",
			Example: "Authorization", form: identityField(),
			Sentence: "The field that carries the ID token. A client's field of this name is " +
				"always removed."},
		{Name: "LB_IDENTITY_TOKEN_FILE", own: true, Example: "/var/run/secrets/token", form: file(),
			Sentence: "A file with an ID token, used instead of the metadata server's; read again " +
				"when it changes."},
	}
}

// isNoAudience reports whether all services may inherit a value of LB_IDENTITY.
// An audience is not inherited, because a token for it must not go to another
// service.
func isNoAudience(text string) bool { return text == IdentityAuto || text == IdentityOff }

// affinityVariables returns the rows of session affinity.
func affinityVariables() []Variable {
	return inSection(affinitySection, true, []Variable{
		{Name: "LB_SESSION_AFFINITY", Default: "none", Example: "cookie",
			form:     affinityForm(),
			Sentence: "cookie keeps a browser on the backend that answered it first."},
		{Name: "LB_AFFINITY_COOKIE", own: true,
			Shown:  "__lb_ and a short hash of K_SERVICE or OTEL_SERVICE_NAME, and of the name",
			derive: defaultCookie, Example: "__lb", form: token("the name of a cookie"),
			Sentence: "The cookie's name. Balancers behind one another need different ones."},
		{Name: "LB_AFFINITY_TTL", Default: "session", Example: "12h",
			form: sessionLife(),
			Sentence: "How long a session lasts at most; session is as long as the browser keeps " +
				"the cookie."},
		{Name: "LB_AFFINITY_IDLE", Default: "none", Example: "30m",
			form: orNone(duration(time.Second, 10*year), "0"),
			Sentence: "How long a session may be idle. The date inside the cookie counts, not " +
				"only the browser's."},
		{Name: "LB_AFFINITY_SECRET", Secret: true,
			Example: "a-new-key-of-16-bytes;the-former-key-16-bytes", form: keys(16),
			Sentence: "Keys of the cookie: the first signs, all verify. Unset: a constant key by " +
				"the service's name, which guards against accident, not forgery."},
		{Name: "LB_AFFINITY_STRICT", Default: "false", Example: "true", form: toggle(),
			Sentence: "true: a session is served by its own backend only. Retries stay on it. If " +
				"the backend is gone, the client gets 503 and the cookie is deleted."},
		{Name: "LB_AFFINITY_SAMESITE", Default: "lax", Example: "strict",
			form:     choice("lax", "strict", "none"),
			Sentence: "The cookie's SameSite; none adds Secure and Partitioned."},
		{Name: "LB_BACKEND_COOKIES", Default: "auto", Example: "AWSALB;AWSALBCORS",
			form: backendCookies(),
			Sentence: "The cookies by which backends keep sessions on instances of their own. " +
				"They are carried inside a cookie of Pillion's, and shown to the backend that " +
				"set them only. auto is Cloud Run's, for run targets and hosts in .run.app; a " +
				"list is for every backend; none lets all cookies pass."},
	})
}

// affinityForm is the form of LB_SESSION_AFFINITY, with explanations for values
// of balancers that keep sessions by address.
func affinityForm() form {
	const cookieOnly = "keeps sessions by cookie only"
	return explained(hinted(aliased(choice("none", "cookie"),
		map[string]string{
			"none": "false", "off": "false", "false": "false", "cookie": "true", "true": "true",
		}),
		map[string]string{"sticky": "cookie", "session": "cookie", "cookies": "cookie"}),
		map[string]string{
			"client_ip": cookieOnly, "clientip": cookieOnly, "ip_hash": cookieOnly,
			"source": cookieOnly, "ip": cookieOnly,
		})
}

// sessionLife is the form of the duration of a session. Its default is the word
// session.
func sessionLife() form {
	f := aliased(orNone(duration(time.Second, 10*year), "0"), map[string]string{"session": "0"})
	f.accepted += ", or session"
	return f
}
