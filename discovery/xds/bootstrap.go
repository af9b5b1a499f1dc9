package xds

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Bootstrap holds the servers of the control plane, and the node with which
// Pillion identifies itself to them.
type Bootstrap struct {
	Servers []Server // at least one; a later server is used only while the earlier ones fail
	Node    Node
}

// Server is a server of a control plane. Servers can be compared with ==.
type Server struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or a path
	TLS     bool
	// Paths of PEM files for TLS: the trusted roots ("": those of the system),
	// and the client certificate with its key ("": none).
	CA, Certificate, Key string
	TokenFile            string // file with a token that is sent over TLS; "": none
}

// authority returns the :authority of requests to the server. The server's
// certificate must be valid for its host.
func (s Server) authority() string {
	if s.Network == "unix" {
		return "localhost"
	}
	return s.Address
}

// bootstrapFile holds the fields of gRPC's bootstrap file that are used (gRFC
// A27, A65, A97). All others are skipped, as A27 requires.
type bootstrapFile struct {
	Servers []bootstrapServer `json:"xds_servers"`
	Node    struct {
		ID       string         `json:"id"`
		Cluster  string         `json:"cluster"`
		Metadata map[string]any `json:"metadata"`
		Locality struct {
			Region  string `json:"region"`
			Zone    string `json:"zone"`
			SubZone string `json:"sub_zone"`
		} `json:"locality"`
	} `json:"node"`
}

type bootstrapServer struct {
	URI     string  `json:"server_uri"`
	Channel []creds `json:"channel_creds"`
	Call    []creds `json:"call_creds"`
}

type creds struct {
	Type   string `json:"type"`
	Config struct {
		CA          string `json:"ca_certificate_file"`
		Certificate string `json:"certificate_file"`
		Key         string `json:"private_key_file"`
		Token       string `json:"jwt_token_file"`
	} `json:"config"`
}

// ReadBootstrap parses the text of a gRPC bootstrap file. An error shows
// nothing of the text, which may hold secrets.
func ReadBootstrap(text string) (*Bootstrap, error) {
	var file bootstrapFile
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return nil, fmt.Errorf("is no bootstrap file of gRPC: %w", withoutContent(err))
	}
	if len(file.Servers) == 0 {
		return nil, errors.New("names no server: xds_servers is empty")
	}

	b := &Bootstrap{Node: Node{ID: file.Node.ID, Cluster: file.Node.Cluster,
		Metadata: file.Node.Metadata, Region: file.Node.Locality.Region,
		Zone: file.Node.Locality.Zone, SubZone: file.Node.Locality.SubZone}}
	for i, given := range file.Servers {
		server, err := given.server()
		if err != nil {
			return nil, fmt.Errorf("has a server %d that can't be used: %w", i+1, err)
		}
		b.Servers = append(b.Servers, server)
	}

	return b, nil
}

// withoutContent returns a JSON error without the parts that quote the text.
func withoutContent(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("it is no JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("%s is not of the right type", kind.Field)
	}

	return errors.New("it is no JSON")
}

func (given bootstrapServer) server() (Server, error) {
	s, err := place(given.URI)
	if err != nil {
		return s, err
	}

	known := slices.IndexFunc(given.Channel, func(c creds) bool {
		return c.Type == "insecure" || c.Type == "tls"
	})
	if known < 0 {
		return s, errors.New("its channel_creds have neither the type insecure nor tls")
	}

	s.TLS = given.Channel[known].Type == "tls"
	if config := given.Channel[known].Config; s.TLS {
		s.CA, s.Certificate, s.Key = config.CA, config.Certificate, config.Key
	}
	if (s.Certificate == "") != (s.Key == "") {
		return s, errors.New("it has only one of certificate_file and private_key_file")
	}

	for _, c := range given.Call {
		if c.Type == "jwt_token_file" && s.TokenFile == "" && s.TLS {
			s.TokenFile = c.Config.Token
		}
	}

	return s, s.checkFiles()
}

func (s Server) checkFiles() error {
	for _, path := range []string{s.CA, s.Certificate, s.Key, s.TokenFile} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("%.200q is not an absolute path", path)
		}
	}

	return nil
}

// place parses a server's URI: host:port, dns:///host:port or unix:///path.
func place(uri string) (Server, error) {
	if path, ok := strings.CutPrefix(uri, "unix:"); ok {
		path = "/" + strings.TrimLeft(path, "/")
		if path == "/" {
			return Server{}, errors.New("its server_uri has no path")
		}
		return Server{Network: "unix", Address: path}, nil
	}

	address := strings.TrimPrefix(strings.TrimPrefix(uri, "dns:///"), "passthrough:///")
	if strings.Contains(address, "/") || address == "" {
		return Server{}, fmt.Errorf("its server_uri %.200q is neither host:port nor unix:///path", uri)
	}

	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), "443" // gRPC's default port
		address = net.JoinHostPort(host, port)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return Server{}, fmt.Errorf("its server_uri %.200q has no host, or no port from 1 to 65535",
			uri)
	}

	return Server{Network: "tcp", Address: address}, nil
}
