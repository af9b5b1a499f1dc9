package xds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"

	// openLimit bounds the time to connect, TLS included.
	openLimit = 10 * time.Second

	// A ping finds out whether a silent server is still there. gRPC servers end
	// a connection that sends pings more often than every 5 minutes.
	pingAfter = 5 * time.Minute
	pingLimit = 20 * time.Second

	// maxResponse bounds the size of a response.
	maxResponse = 16 << 20
)

// Dial connects to a server.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Stream is an ADS stream. One goroutine may call Send while another calls
// Recv.
type Stream struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	cancel context.CancelFunc
}

// Open connects to a server and opens a stream. The stream ends with ctx or
// with Close. The files of certificates and tokens are read for each stream, so
// that changed files take effect.
func Open(ctx context.Context, server Server, dial Dial) (*Stream, error) {
	security, err := server.security()
	if err != nil {
		return nil, err
	}

	// Each stream has its own connection. So the server's name is resolved
	// again, and no backoff of an older connection delays it.
	conn, err := grpc.NewClient("passthrough:///"+server.Address,
		grpc.WithTransportCredentials(security),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return dial(ctx, server.Network, server.Address)
		}),
		grpc.WithAuthority(server.authority()),
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("pillion"),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingLimit}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse), grpc.ForceCodec(codec{})))
	if err != nil {
		return nil, err
	}

	s := &Stream{conn: conn}
	ctx, s.cancel = context.WithCancel(ctx)
	if err := s.open(ctx, server); err != nil {
		s.Close()
		return nil, err
	}

	return s, nil
}

func (s *Stream) open(ctx context.Context, server Server) error {
	if server.TokenFile != "" {
		token, err := read("the token for the server", server.TokenFile)
		if err != nil {
			return err
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization",
			"Bearer "+strings.TrimSpace(token))
	}

	late := time.AfterFunc(openLimit, s.cancel)
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
		method)
	switch {
	case !late.Stop() && err != nil:
		return fmt.Errorf("no connection within %s", openLimit)
	case err != nil:
		return plain(err)
	}

	s.stream = stream
	return nil
}

// Send sends a request.
func (s *Stream) Send(r *Request) error {
	if err := s.stream.SendMsg(r.Marshal()); err != nil {
		return plain(err)
	}
	return nil
}

// Recv waits for the next response. Its error is *Ended if the stream has
// ended.
func (s *Stream) Recv() (Response, error) {
	var message []byte
	if err := s.stream.RecvMsg(&message); err != nil {
		return Response{}, plain(err)
	}

	return ReadResponse(message)
}

// Close ends the stream and its connection.
func (s *Stream) Close() {
	s.cancel()
	_ = s.conn.Close()
}

// Ended is the error of a stream that the server or the network has ended.
type Ended struct{ Reason string }

// Error returns what the server or the network reports.
func (e *Ended) Error() string { return e.Reason }

// plain returns the message of a gRPC error without gRPC's prefix.
func plain(err error) error {
	of := status.Convert(err)
	reason := strings.TrimPrefix(of.Message(), "connection error: desc = ")
	if reason == "" {
		reason = "the stream ended"
	}

	return &Ended{strings.Trim(reason, `"`) + " (" + of.Code().String() + ")"}
}

// security returns the transport security of connections to a server.
func (s Server) security() (credentials.TransportCredentials, error) {
	if !s.TLS {
		return insecure.NewCredentials(), nil
	}

	settings := &tls.Config{MinVersion: tls.VersionTLS12} // gRPC sets the server name
	if s.CA != "" {
		trusted, err := read("the certificates to trust", s.CA)
		if err != nil {
			return nil, err
		}

		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM([]byte(trusted)) {
			return nil, errors.New("the file of certificates to trust holds none")
		}
	}

	if s.Certificate != "" {
		pair, err := s.pair()
		if err != nil {
			return nil, err
		}
		settings.Certificates = []tls.Certificate{pair}
	}

	return credentials.NewTLS(settings), nil
}

// pair returns the client certificate.
func (s Server) pair() (tls.Certificate, error) {
	certificate, err := read("the certificate for the server", s.Certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := read("the key for the server", s.Key)
	if err != nil {
		return tls.Certificate{}, err
	}

	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the certificate for the server: %w", err)
	}

	return pair, nil
}

func read(what, path string) (string, error) {
	content, err := config.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %s %w", what, path, err)
	}
	return content, nil
}

// codec passes encoded messages through, because this package encodes and
// parses them itself.
type codec struct{}

// Name returns the subtype of the content type application/grpc+proto.
func (codec) Name() string { return "proto" }

// Marshal takes a []byte.
func (codec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }

// Unmarshal takes a *[]byte.
func (codec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
