package auth

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// Options are the parts that all providers share.
type Options struct {
	Logger *slog.Logger
	// Metadata returns a value of the platform's metadata server by its path.
	// nil if there is none.
	Metadata func(ctx context.Context, path string) (string, error)
	Platform config.Platform

	client *http.Client // for tests; nil for newClient
	places map[config.ProviderKind]place
}

// Keys holds the key sets of all providers. Providers with the same keys share
// one. It owns the goroutines that fetch them. Safe for concurrent use.
type Keys struct {
	log      *slog.Logger
	client   *http.Client
	metadata func(ctx context.Context, path string) (string, error)
	platform config.Platform
	places   map[config.ProviderKind]place

	ctx     context.Context // of all fetches
	cancel  context.CancelFunc
	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup

	sets      map[place]*keySet
	verifiers []*Verifier
	audiences map[config.ProviderKind]*ownAudience
	hinted    atomic.Bool // the hint about stripped signatures was logged
}

// New makes a Keys without key sets. Verifier adds them.
func New(o Options) *Keys {
	k := &Keys{
		log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), client: cmp.Or(o.client, newClient()),
		metadata: o.Metadata, platform: o.Platform, places: o.places,
		sets: make(map[place]*keySet), audiences: make(map[config.ProviderKind]*ownAudience),
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())

	return k
}

// Run fetches all keys, and repeats that until each fetch has succeeded once.
// When ctx ends, it ends all fetches and returns nil.
func (k *Keys) Run(ctx context.Context) error {
	for pause := betweenTries; k.fetchMissing(); pause = min(2*pause, 30*time.Second) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
			timer.Stop()
		}
		break
	}
	<-ctx.Done()

	k.mu.Lock()
	k.ended = true
	k.mu.Unlock()
	k.cancel()
	k.running.Wait()

	return nil
}

// fetchMissing begins to fetch the keys that were never fetched, and reports
// whether there are any.
func (k *Keys) fetchMissing() (missing bool) {
	now := wall(time.Now())
	for _, s := range k.sets {
		s.mu.Lock()
		if s.list == nil {
			missing = true
			s.begin(now)
		}
		s.mu.Unlock()
	}
	for _, a := range k.audiences {
		missing = !a.known(k.ctx, now) || missing
	}

	return missing
}

// spawn runs f in a goroutine that Run waits for. It reports false after Run
// has ended.
func (k *Keys) spawn(f func(ctx context.Context)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return false
	}
	k.running.Go(func() {
		defer k.recovered()
		f(k.ctx)
	})

	return true
}

// recovered ends a panic. What an issuer sends is foreign, and libraries read
// it. The fetch counts as lost, and is made again.
func (k *Keys) recovered() {
	if value := recover(); value != nil {
		k.log.Error("fetching keys for tokens panicked", "panic", value)
	}
}

// of returns the key set of a provider. Only Verifier calls it.
func (k *Keys) of(p *config.Provider) *keySet {
	at := k.placeOf(p)
	s := k.sets[at]
	if s == nil {
		s = &keySet{owner: k, name: nameOf(p), place: at}
		k.sets[at] = s
	}

	return s
}

// nameOf returns the name of a provider in logs and metrics.
func nameOf(p *config.Provider) string {
	if p.Kind == config.OIDC {
		return p.Issuer
	}

	return string(p.Kind)
}

// The URLs of the keys of providers without a discovery document, or for which
// reading it would be an extra request.
const (
	iapKeys      = "https://www.gstatic.com/iap/verify/public_key-jwk"
	googleKeys   = "https://www.googleapis.com/oauth2/v3/certs"
	firebaseKeys = "https://www.googleapis.com/robot/v1/metadata/x509/" +
		"securetoken@system.gserviceaccount.com"
	sessionKeys = "https://www.googleapis.com/identitytoolkit/v3/relyingparty/publicKeys"
)

func (k *Keys) placeOf(p *config.Provider) place {
	if at, faked := k.places[p.Kind]; faked && p.Keys == "" {
		return at
	}
	if p.Kind == config.OIDC {
		return place{issuer: p.Issuer, keys: p.Keys}
	}
	if p.Keys != "" {
		return place{keys: p.Keys}
	}
	switch {
	case p.Kind == config.IAP:
		return place{keys: iapKeys}
	case p.Kind == config.Google:
		return place{keys: googleKeys}
	case p.Cookie != "":
		return place{keys: sessionKeys}
	}

	return place{keys: firebaseKeys}
}

// States returns the state of the keys of all providers, sorted by name. Where
// a provider has several key sets they are one state.
func (k *Keys) States(now time.Time) []State {
	byName := make(map[string]State, len(k.sets))
	for _, set := range k.sets {
		one := set.state(now)
		if other, known := byName[one.Provider]; known {
			one = one.with(other)
		}
		byName[one.Provider] = one
	}
	for kind, audience := range k.audiences {
		if one, known := byName[string(kind)]; known {
			one.Error = cmp.Or(one.Error, audience.fault())
			byName[string(kind)] = one
		}
	}

	states := slices.Collect(maps.Values(byName))
	slices.SortFunc(states, func(a, b State) int { return strings.Compare(a.Provider, b.Provider) })

	return states
}

// hintRemoved logs once why tokens have no signature.
func (k *Keys) hintRemoved() {
	if k.hinted.Load() || !k.hinted.CompareAndSwap(false, true) {
		return
	}
	k.log.Warn("a token came whose signature Cloud Run has removed, because it checked the token " +
		"itself; let callers put the platform's token in X-Serverless-Authorization, or let the " +
		"service admit unauthenticated callers: LB_AUTH checks them")
}
