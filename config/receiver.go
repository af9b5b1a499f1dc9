package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"path"
	"strings"
)

// Receiver holds OTEL_EXPORTER_OTLP_* for one signal. A signal's own variable
// takes precedence over the one for all signals. Exporters get these values and
// read no variables themselves.
type Receiver struct {
	// a URL with its whole path, or host:port; "" is the protocol's port on
	// this machine, in clear text
	Endpoint    string         `env:"ENDPOINT"`
	Protocol    ExportProtocol `env:"PROTOCOL"`
	Headers     *Secret        `env:"HEADERS,noinit"` // see Fields
	Timeout     int            `env:"TIMEOUT"`        // milliseconds
	Compression Compression    `env:"COMPRESSION"`
	// counts only if Endpoint has no scheme, see Secure
	Insecure bool `env:"INSECURE"`

	Certificate       string `env:"CERTIFICATE"`        // path; "": the system's roots
	ClientCertificate string `env:"CLIENT_CERTIFICATE"` // path; "" where ClientKey is ""
	ClientKey         string `env:"CLIENT_KEY"`

	// The same files, followed; nil without one.
	Roots *Followed[x509.CertPool]   `env:",noinit"`
	Pair  *Followed[tls.Certificate] `env:",noinit"`
}

// Secure reports whether exports use TLS. The scheme of the endpoint decides
// or, without one, INSECURE (OpenTelemetry specification, "OTLP Exporter
// Configuration").
func (r Receiver) Secure() bool {
	scheme, _, given := strings.Cut(r.Endpoint, "://")
	if given {
		return scheme == "https"
	}
	return r.Endpoint != "" && !r.Insecure
}

// Fields returns the fields of HEADERS, or nil.
func (r Receiver) Fields() map[string]string {
	if r.Headers == nil {
		return nil
	}

	list, _ := readPairs(r.Headers.Value()) // its form has checked it
	return list
}

// Pairs is a list of key=value with percent-encoded values, as in
// OTEL_RESOURCE_ATTRIBUTES.
type Pairs map[string]string

// EnvDecode reads the list.
func (p *Pairs) EnvDecode(given string) (err error) {
	*p, err = readPairs(given)
	return err
}

// readPairs reads a list in the form of the specification (W3C Baggage, without
// properties). Its error shows no item, because a value may be a secret.
func readPairs(given string) (map[string]string, error) {
	var list map[string]string
	for item := range strings.SplitSeq(given, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}

		key, value, found := strings.Cut(item, "=")
		if key = strings.TrimSpace(key); !found || !isToken(key) {
			return nil, errors.New("is not key=value in every item")
		}

		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return nil, errors.New("has a value with a '%' that is not followed by two " +
				"hexadecimal digits; '%' itself is written %25")
		}

		if strings.ContainsAny(value, "\r\n\x00") {
			return nil, errors.New("has a value with a line break")
		}

		if list == nil {
			list = map[string]string{}
		}

		list[key] = value
	}

	return list, nil
}

// endpoint is the form of the URL of a receiver, or of host:port for gRPC. User
// info is dropped, because exporters don't send it and a Config must not
// contain it.
func endpoint() form {
	return form{"an http or https URL, or host:port for grpc", func(given string) (string, error) {
		if !strings.Contains(given, "://") {
			if _, err := authority().parse(given); err != nil ||
				!strings.Contains(given[strings.LastIndexByte(given, ']')+1:], ":") {
				return "", errors.New("is neither an http or https URL nor host:port")
			}

			return given, nil
		}

		u, err := url.Parse(given)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return "", errors.New("is not an http or https URL")
		}

		u.User = nil
		return u.String(), nil
	}}
}

const (
	otlp        = "OTEL_EXPORTER_OTLP_"
	otlpTraces  = otlp + "TRACES_"
	otlpMetrics = otlp + "METRICS_"
)

// signalEndpoint returns the endpoint of a signal without its own: for gRPC the
// one for all signals, for HTTP that one with the signal's path added.
func signalEndpoint(e *environment, signal string) string {
	general := e.good[otlp+"ENDPOINT"]
	u, err := url.Parse(general)
	if general == "" || err != nil || !strings.Contains(general, "://") ||
		e.text(otlp+signal+"PROTOCOL") == string(ExportGRPC) {
		return general
	}

	u.Path, u.RawPath = path.Join("/", u.Path, "v1",
		strings.ToLower(strings.TrimSuffix(signal, "_"))), ""
	return u.String()
}

// schemes warns of endpoints without a scheme, unless the protocol is gRPC.
// They count as unset.
func (e *environment) schemes() {
	for _, signal := range []string{"TRACES_", "METRICS_"} {
		name := otlp + signal + "ENDPOINT"
		if e.good[name] == "" {
			name = otlp + "ENDPOINT"
		}

		given := e.good[name]
		if given == "" || strings.Contains(given, "://") ||
			e.text(otlp+signal+"PROTOCOL") == string(ExportGRPC) {
			continue
		}

		e.warnings = append(e.warnings, e.rows[name].problem(given,
			errors.New("needs http:// or https:// for http/protobuf")))
		delete(e.good, name)
	}
}

// followReceiver follows the files of a receiver. The form of CERTIFICATE has
// checked its file already.
func (e *environment) followReceiver(r *Receiver, prefix string) {
	if r.Certificate != "" {
		if roots, err := FollowRoots(prefix+"CERTIFICATE", r.Certificate); err == nil {
			r.Roots = roots
			e.files = append(e.files, roots)
		}
	}

	e.clientPair(r, prefix)
}

// clientPair follows the client certificate for a receiver. If certificate and
// key don't belong together, it warns, and they count as unset.
func (e *environment) clientPair(r *Receiver, prefix string) {
	if r.ClientCertificate == "" && r.ClientKey == "" {
		return
	}

	v := e.rows[prefix+"CLIENT_CERTIFICATE"]
	if e.given[v.Name] == "" {
		v = e.rows[otlp+"CLIENT_CERTIFICATE"]
	}

	pair, err := FollowCertificate(prefix+"CLIENT_CERTIFICATE", r.ClientCertificate, r.ClientKey)
	if err == nil {
		r.Pair = pair
		e.files = append(e.files, pair)
		return
	}

	r.ClientCertificate, r.ClientKey = "", ""
	for _, w := range e.warnings {
		if w.Variable == v.Name {
			return
		}
	}

	e.warnings = append(e.warnings, v.problem(e.given[v.Name],
		errors.New("and CLIENT_KEY name no certificate with its key")))
}
