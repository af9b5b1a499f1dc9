package limit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/valkey-io/valkey-go"
)

// connectTimeout is how long a session may take to open. No request waits for
// it.
const connectTimeout = 5 * time.Second

// session is one client of the library, from its connection until the store is
// turned off. It does not reconnect by itself, because a request would have to
// wait for that.
type session struct {
	client valkey.Client
	lua    *valkey.Lua
	began  time.Time

	ctx    context.Context // until the session ends
	cancel context.CancelFunc
	dialer dialer

	waiting  atomic.Int32 // questions without an answer yet
	patient  atomic.Int32 // requests that wait longer than usual
	latency  atomic.Int64 // the usual time of an answer, in nanoseconds
	failures atomic.Int32 // in a row
	last     atomic.Int64 // when the last answer came, in Unix nanoseconds
	proved   atomic.Bool  // it has answered a question of a request
}

// open connects to the server, and checks that it answers questions within the
// time that requests have.
func (s *Store) open(ctx context.Context) (*session, error) {
	u, err := config.ParseStoreURL(s.url.Value())
	if err != nil {
		return nil, err
	}
	option, err := s.option(u)
	if err != nil {
		return nil, err
	}

	x := &session{lua: valkey.NewLuaScript(script), began: time.Now()}
	x.ctx, x.cancel = context.WithCancel(ctx)
	option.DialCtxFn = x.dialer.dial
	limited, cancel := context.WithTimeout(x.ctx, connectTimeout)
	defer cancel()
	defer context.AfterFunc(limited, x.dialer.cut)()
	if err := x.connect(limited, option); err != nil {
		if errors.Is(limited.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("connecting took more than %v", connectTimeout)
		}
		x.close()
		return nil, err
	}
	if err := x.try(s.prefix+"probe", s.budget); err != nil {
		x.close()
		return nil, err
	}

	x.dialer.seal()
	x.last.Store(time.Now().UnixNano())

	return x, nil
}

// option returns the settings of the library.
func (s *Store) option(u *config.StoreURL) (*valkey.ClientOption, error) {
	const buffer = 16 << 10
	o := &valkey.ClientOption{
		InitAddress: []string{u.Address}, Username: u.User, Password: u.Password, SelectDB: u.Database,
		ForceSingleClient: !u.Cluster,
		// A retry would count a request twice.
		DisableRetry: true,
		DisableCache: true, ClientSetInfo: valkey.DisableClientSetInfo,
		// All requests share one connection, and a question that is given up
		// does not break it.
		AlwaysPipelining: true, PipelineMultiplex: -1,
		ReadBufferEachConn: buffer, WriteBufferEachConn: buffer,
		// No pings: requests notice a broken connection.
		Dialer:           net.Dialer{Timeout: connectTimeout, KeepAlive: -1},
		ConnWriteTimeout: connectTimeout,
		ClusterOption:    valkey.ClusterOption{MaxMovedRedirections: 3},
	}
	if u.Google {
		o.Username, o.Password = "", ""
		o.AuthCredentialsFn = s.credentials
	}
	if !u.TLS {
		return o, nil
	}

	var err error
	o.TLSConfig, err = secured(u)

	return o, err
}

// credentials returns the service account's current access token, for each new
// connection.
func (s *Store) credentials(valkey.AuthCredentialsContext) (valkey.AuthCredentials, error) {
	if s.token == nil {
		return valkey.AuthCredentials{}, errors.New("auth=google needs a metadata server")
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	token, err := s.token(ctx)
	if err != nil {
		return valkey.AuthCredentials{}, fmt.Errorf("access token for auth=google: %w", err)
	}

	return valkey.AuthCredentials{Username: "default", Password: token}, nil
}

// connect makes the client, with a connection to every node of a cluster.
func (x *session) connect(ctx context.Context, option *valkey.ClientOption) (err error) {
	if x.client, err = valkey.NewClient(*option); err != nil {
		return err
	}
	if !option.ForceSingleClient {
		for _, node := range x.client.Nodes() {
			// A missing node affects only the requests whose keys it has.
			_ = node.Do(ctx, node.B().Ping().Build()).Error()
		}
	}

	return ctx.Err()
}

// try runs the script as requests will. The first time, the server may have to
// compile it. The second time must take no longer than a request may wait.
func (x *session) try(key string, budget time.Duration) error {
	r := rate{int64(time.Millisecond), int64(time.Second)}
	var err error
	for _, limit := range [...]time.Duration{connectTimeout, budget} {
		x.begin()
		if _, err = x.ask(key, r, time.Now().Add(limit)); err != nil {
			break
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it answers, but not within %v", budget)
	}

	return err
}

// begin takes one of the places for questions, and reports whether one was
// free.
func (x *session) begin() bool {
	if x.waiting.Add(1) <= mostWaiting {
		return true
	}
	x.waiting.Add(-1)

	return false
}

// answer is the server's answer to a question.
type answer struct {
	early time.Duration
	err   error
}

// errSlow is the error for a question that was given up before its deadline.
var errSlow = errors.New("other requests wait for the store already")

// ask runs the script for a key, after begin. It returns by the deadline, even
// if the library does not: some of its waits ignore the context.
//
// When the server stops, many requests may have asked already. Three of them
// wait until the deadline, which is enough to detect that. The others give up
// when an answer takes longer than usual.
func (x *session) ask(key string, r rate, deadline time.Time) (time.Duration, error) {
	ctx, cancel := context.WithDeadline(x.ctx, deadline)
	defer cancel()

	answers, began := make(chan answer, 1), time.Now()
	go func() {
		defer x.waiting.Add(-1)
		early, err := r.earlyOf(x.lua.Exec(ctx, x.client, []string{key}, r.arguments()))
		if err == nil {
			x.took(time.Since(began))
		}
		answers <- answer{early, err}
	}()

	patience := time.NewTimer(x.patience(deadline.Sub(began)))
	defer patience.Stop()
	select {
	case a := <-answers:
		return a.early, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-patience.C:
	}

	defer x.patient.Add(-1)
	if x.patient.Add(1) > failuresInARow {
		return 0, errSlow
	}
	select {
	case a := <-answers:
		return a.early, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// took notes how long an answer took: a moving average of about eight.
func (x *session) took(d time.Duration) {
	before := x.latency.Load()
	x.latency.Store(before + (int64(d)-before)/8)
}

// patience returns how long a question may take before only a few requests
// continue to wait: eight times the usual time, but at least half of the budget
// and at most all of it.
func (x *session) patience(budget time.Duration) time.Duration {
	return min(budget, max(budget/2, 8*time.Duration(x.latency.Load())))
}

// answered notes an answer, and reports whether it was not the first one.
func (x *session) answered() bool {
	x.failures.Store(0)
	x.last.Store(time.Now().UnixNano())

	return x.proved.Load() || x.proved.Swap(true)
}

// stale reports whether a question without an answer was the first after a long
// silence. Then the connection has probably been lost unnoticed.
func (x *session) stale(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) &&
		time.Now().UnixNano()-x.last.Load() > int64(silence)
}

// broken reports whether an error is about the connection, and not an answer of
// the server.
func broken(err error) bool {
	if _, said := valkey.IsValkeyErr(err); said {
		return false
	}

	return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errReply)
}

// end ends all waits for the session.
func (x *session) end() {
	x.cancel()
	x.dialer.cut()
}

// close ends the session and the library's client.
func (x *session) close() {
	x.end()
	if x.client != nil {
		x.client.Close()
	}
}

// dialer opens the connections of a session until it is sealed.
type dialer struct {
	mu     sync.Mutex
	conns  []net.Conn
	sealed bool
}

var errSealed = errors.New("the connection broke")

// dial connects to a server.
func (d *dialer) dial(
	ctx context.Context, addr string, _ *net.Dialer, secure *tls.Config,
) (net.Conn, error) {
	d.mu.Lock()
	sealed := d.sealed
	d.mu.Unlock()
	if sealed {
		return nil, errSealed
	}

	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if !d.keep(conn) {
		return nil, errSealed
	}
	if secure == nil {
		return conn, nil
	}

	secure = secure.Clone()
	if secure.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		return nil, err
	}
	c := tls.Client(conn, secure)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}

	return c, nil
}

// keep notes a connection, so that cut closes it. It reports false, and closes
// the connection, if the dialer was cut meanwhile.
func (d *dialer) keep(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sealed {
		_ = conn.Close()
		return false
	}
	d.conns = append(d.conns, conn)

	return true
}

// seal prevents further connections.
func (d *dialer) seal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = true
}

// cut closes all connections without telling the server, which may be blocked.
func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = true
	for _, conn := range d.conns {
		_ = conn.Close()
	}
}
