package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// StoreURL is the server in which the instances count together: Redis, Valkey
// or one with the same protocol.
type StoreURL struct {
	TLS            bool
	Address        string // host:port
	User, Password string // "": none
	Database       int
	Cluster        bool
	CAFile         string // "": the system's roots
	AnyName        bool   // the certificate's name is not compared: CAFile is of this server alone
	Google         bool   // the service account's access token is the password
	Prefix         string // of all keys; "": the default
}

const storeForm = "a URL such as redis://host:6379 or rediss://user:password@host:6379/0, " +
	"with or without ?cluster=true&ca=/path&verify=ca&auth=google&prefix=TEXT"

// ParseStoreURL reads the URL of a store. Its errors contain no part that may
// be secret.
func ParseStoreURL(given string) (*StoreURL, error) {
	if holdsVariable(given) {
		return nil, errors.New("holds a variable that nothing has replaced (in a password, '$' is " +
			"written %24)")
	}

	u, err := url.Parse(given)
	if err != nil {
		return nil, errors.New("is no URL (in a password, percent-encode what is no letter or digit)")
	}
	s := &StoreURL{TLS: u.Scheme == "rediss"}
	switch {
	case !s.TLS && u.Scheme != "redis":
		return nil, errors.New("begins with neither redis:// nor rediss://")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("names no host")
	case u.Fragment != "":
		return nil, errors.New("has a fragment (in a password, '#' is written %23)")
	}

	port := u.Port()
	if port == "" {
		port = "6379"
	}
	if n, ok := digits(port); !ok || n < 1 || n > 65535 {
		return nil, errors.New("has a port that is not from 1 to 65535")
	}
	s.Address = net.JoinHostPort(u.Hostname(), port)
	if u.User != nil {
		s.User = u.User.Username()
		s.Password, _ = u.User.Password()
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		n, ok := digits(path)
		if !ok || n > 1<<20 {
			return nil, errors.New("has a path that is no number of a database")
		}
		s.Database = n
	}
	if err := s.parseKeys(u.RawQuery); err != nil {
		return nil, err
	}

	return s, s.check()
}

// parseKeys reads the part after '?'.
func (s *StoreURL) parseKeys(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("has a query that can't be read")
	}
	for key, list := range values {
		if len(list) > 1 {
			return errors.New("has a key twice")
		}
		switch value := list[0]; key {
		case "cluster":
			if s.Cluster, err = strconv.ParseBool(value); err != nil {
				return errors.New("has a cluster that is neither true nor false")
			}
		case "ca":
			if s.CAFile = value; s.CAFile == "" {
				return errors.New("has a ca without a path")
			}
		case "verify":
			if s.AnyName = value == "ca"; !s.AnyName && value != "full" {
				return errors.New("has a verify that is neither full nor ca")
			}
		case "auth":
			if s.Google = value == "google"; !s.Google {
				return errors.New("has an auth that is not google")
			}
		case "prefix":
			s.Prefix = value
		default:
			return errors.New("has a key that is none of cluster, ca, verify, auth, prefix")
		}
	}

	return nil
}

// check checks that the parts fit together.
func (s *StoreURL) check() error {
	switch {
	case s.Cluster && s.Database != 0:
		return errors.New("has a database, but a cluster has the first one alone")
	case s.Google && (s.User != "" || s.Password != ""):
		return errors.New("has a user or a password beside auth=google")
	case s.Google && !s.TLS:
		return errors.New("has auth=google without TLS: " +
			"rediss:// is needed, or everybody on the way could use the token")
	case s.CAFile != "" && !s.TLS:
		return errors.New("has a ca, which redis:// has no use for; with TLS it is rediss://")
	case s.AnyName && s.CAFile == "":
		return errors.New("has verify=ca without ca: every server with a public certificate would " +
			"be the store")
	case len(s.Prefix) > 128 || strings.ContainsAny(s.Prefix, "{}"):
		return errors.New("has a prefix of more than 128 bytes, or with '{' or '}'")
	}

	return nil
}

// storeURL is the form of the URL of a store.
func storeURL() form {
	return form{storeForm, func(given string) (string, error) {
		s, err := ParseStoreURL(given)
		if err != nil {
			return "", err
		}
		if s.CAFile != "" {
			if _, err := certificates().parse(s.CAFile); err != nil {
				return "", fmt.Errorf("has a ca that %w", err)
			}
		}

		return given, nil
	}}
}

// StorePrefix returns the beginning of all keys in the store. It separates the
// keys of deployments that share a server.
func (c *Config) StorePrefix() string {
	if s, err := ParseStoreURL(c.Process.RateLimitStore.Value()); err == nil && s.Prefix != "" {
		return s.Prefix
	}

	name := c.Platform.Service
	if name == "" {
		name = c.Telemetry.ServiceName
	}
	if name == "" {
		return "pillion:"
	}

	return "pillion:" + strings.NewReplacer("{", "", "}", "").Replace(name) + ":"
}
