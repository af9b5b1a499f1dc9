package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"math/big"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// nowhere is a machine that says nothing of its maker and has no memory limit.
var nowhere = fstest.MapFS{}

// given loads the pairs on such a machine, with one backend unless the pairs
// name others.
func given(pairs ...string) (*Config, []Problem) {
	return load(append(slices.Clone(pairs), "LB_BACKENDS=:9000"), nowhere, 0)
}

func accepted(t *testing.T, pairs ...string) *Config {
	t.Helper()
	c, problems := given(pairs...)
	if len(problems) > 0 {
		t.Fatalf("%q: %v", pairs, problems)
	}
	if len(c.Telemetry.Warnings) > 0 {
		t.Fatalf("%q: %v", pairs, c.Telemetry.Warnings)
	}
	return c
}

// refused returns the one problem of the pairs.
func refused(t *testing.T, pairs ...string) Problem {
	t.Helper()
	_, problems := given(pairs...)
	if len(problems) != 1 {
		t.Fatalf("%q: want one problem, got %q", pairs, problems)
	}
	return problems[0]
}

func TestLoad_EveryProblemIsToldAtOnceByTheVariablesName(t *testing.T) {
	t.Parallel()
	_, problems := load([]string{"LB_BACKENDS=ftp://x;http://;http://a/path", "LB_BAKENDS=x", "LB_RETRIES=many",
		"LB_CONNECT_TIMEOUT=5", "PORT=99999"}, nowhere, 0)
	var out strings.Builder
	if err := Report(&out, problems); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	want := map[string]string{
		"PORT":               `"99999" is out of range; accepted: a whole number from 1 to 65535; example: PORT='8080'`,
		"LB_CONNECT_TIMEOUT": `"5" needs a unit: '5s'; accepted: a duration such as`,
		"LB_RETRIES":         `"many" is not a whole number; accepted: a whole number from 0 to 10; example: LB_RETRIES='2'`,
		"LB_BAKENDS":         "is not a variable of Pillion; the nearest is LB_BACKENDS",
	}
	if len(lines) != len(want) {
		t.Errorf("want %d lines, got:\n%s", len(want), out.String())
	}
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, ": ")
		if want[name] == "" || !strings.HasPrefix(rest, want[name]) {
			t.Errorf("unexpected line %q", line)
		}
	}
}

func TestLoad_DefaultsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	c := accepted(t)
	c.settings = nil
	status := StatusSet{}
	for code := 200; code < 400; code++ {
		status.Add(code)
	}
	ejecting := StatusSet{}
	for code := 502; code <= 504; code++ {
		ejecting.Add(code)
	}
	want := &Config{
		Process: Process{
			Listen: ":8080", Role: Ingress, TrustedProxies: Trust{Setting: "none"},
			HeaderTimeout: 10 * time.Second, StallTimeout: time.Minute, IdleTimeout: 620 * time.Second,
			MaxHeaderBytes: 65536, DrainDelay: 3 * time.Second, DrainTimeout: 8 * time.Second,
			LogLevel: slog.LevelInfo, AccessLog: "on", StatusPath: "/.lb/",
			GoogleAPI: "https://{api}.googleapis.com", KubernetesAccount: "/var/run/secrets/kubernetes.io/serviceaccount",
			ShareBy: "request", ShareCookie: strings.Replace(c.Service.Affinity.CookieName, "__lb_", "__lbs_", 1),
			CacheSize: 64 << 20, CacheMaxObject: 1 << 20, RateLimitTimeout: 50 * time.Millisecond,
		},
		Service: Service{
			Backends: []string{":9000"}, DiscoveryInterval: 30 * time.Second, Protocol: Auto, Policy: Random,
			HostHeader: "auto", ConnectTimeout: 3 * time.Second, QueueTimeout: time.Second,
			Identity: "auto", IdentityHeader: "X-Serverless-Authorization", StartHold: -1,
			Affinity: Affinity{CookieName: c.Service.Affinity.CookieName, KeyName: "/", SameSite: "lax",
				BackendCookies: BackendCookies{Auto: true}},
			Health: Health{Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3, Status: status},
			Eject:  Eject{Errors: 5, Rate: 0.7, Status: ejecting, Time: 10 * time.Second, Max: 0.5},

			RetryBudget: 0.2,
		},
		Route: Route{
			Items: "/*", RedirectStatus: 302, ResponseTimeout: time.Minute, Retry: Retry{Attempts: 1, Buffer: 65536},
			FilesIndex: "index.html", ErrorFiles: ErrorFiles{}, ErrorPages: map[int]*Page{},
			CORS: CORS{Methods: []string{"GET", "HEAD", "POST"}, MaxAge: 5 * time.Second},
			Auth: Auth{Forward: DefaultForwards()},
			Cache: Cache{
				Mode: CacheOff, DefaultTTL: time.Hour, MaxTTL: 24 * time.Hour,
				StaleIfError: time.Minute, Collapse: 5 * time.Second, Status: true,
				Targets: []string{"Pillion-Cache-Control", "Cdn-Cache-Control"},
			},
			Compress: Compress{Min: 1024, Types: []string{
				"text/*", "application/json", "application/*+json", "application/javascript", "application/xml", "*/*+xml",
				"application/wasm", "application/x-protobuf", "font/ttf", "font/otf",
			}},
		},
		Telemetry: Telemetry{
			TracesReceiver:  Receiver{Protocol: "http/protobuf", Timeout: 10000, Compression: "none"},
			MetricsReceiver: Receiver{Protocol: "http/protobuf", Timeout: 10000, Compression: "none"},
			SamplerArg:      1,
			BatchQueue:      2048, BatchSize: 512, BatchDelay: 5000, BatchTimeout: 30000, MetricInterval: 60000,
			MetricTimeout: 30000,
			Propagators:   []string{"tracecontext", "baggage", "xcloudtrace"}, PlatformUnsampled: -1,
		},
		Platform: Platform{LimitPlaces: mostLimitPlaces},
	}
	want.Services, want.Routes = []Service{want.Service}, []Route{want.Route}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestLoad_EmptyAndBlankAreUnset(t *testing.T) {
	t.Parallel()
	c := accepted(t, "LB_RETRIES=", "LB_EJECT_ERRORS= ", "PORT=", "LB_BAKENDS=", "LB_AFFINITY_SECRET=",
		"LB_STATUS_TOKEN_FILE=")
	if c.Route.Retry.Attempts != 1 || c.Service.Eject.Errors != 5 || c.Process.Listen != ":8080" ||
		c.Service.Affinity.Secret != nil {
		t.Errorf("got %+v", c)
	}
}

func TestLoad_BlanksAroundAValueAreDropped(t *testing.T) {
	t.Parallel()
	if c := accepted(t, "LB_RETRIES= 3\n"); c.Route.Retry.Attempts != 3 {
		t.Errorf("got %d", c.Route.Retry.Attempts)
	}
}

func TestLoad_ListsAreCutAtSemicolonsLinesAndCommas(t *testing.T) {
	t.Parallel()
	c, problems := load([]string{"LB_BACKENDS=http://a; http://b?name=x%2Cy ,http://c\n\n;http://d;"}, nowhere, 0)
	want := []string{"http://a", "http://b?name=x%2Cy", "http://c", "http://d"}
	if len(problems) > 0 || !slices.Equal(c.Service.Backends, want) {
		t.Errorf("got %q, %v", c.Service.Backends, problems)
	}
}

func TestLoad_WithoutBackendsOnlyAMachineWithMetadataStarts(t *testing.T) {
	t.Parallel()
	const product = "class/dmi/id/product_name"
	google := fstest.MapFS{product: {Data: []byte("Google Compute Engine\n")}}
	tests := []struct {
		name    string
		environ []string
		sys     fs.FS
		starts  bool
	}{
		{"anywhere", nil, nowhere, false},
		{"compute engine", nil, google, true},
		{"another maker", nil, fstest.MapFS{product: {Data: []byte("Googlish")}}, false},
		{"metadata host", []string{"GCE_METADATA_HOST=127.0.0.1:1"}, nowhere, true},
		{"cloud run", []string{"K_SERVICE=a"}, google, false},
		{"kubernetes", []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}, google, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, problems := load(test.environ, test.sys, 0)
			if got := len(problems) == 0; got != test.starts {
				t.Errorf("got %v", problems)
			}
			if !test.starts && (len(problems) != 1 || problems[0].Variable != "LB_BACKENDS") {
				t.Errorf("got %v", problems)
			}
		})
	}
	if _, problems := load([]string{"LB_BACKENDS= ; ,"}, nowhere, 0); len(problems) != 1 ||
		problems[0].Variable != "LB_BACKENDS" {
		t.Errorf("a list of nothing: %v", problems)
	}
}

func TestLoad_TheAddressFollowsRoleAndPort(t *testing.T) {
	t.Parallel()
	for want, pairs := range map[string][]string{
		":8080":           {},
		":9090":           {"PORT=9090"},
		":7000":           {"PORT=9090", "LB_LISTEN=:7000"},
		"127.0.0.1:15001": {"LB_ROLE=egress", "PORT=the app's own"},
		"127.0.0.1:15002": {"LB_ROLE=egress", "LB_LISTEN=127.0.0.1:15002"},
	} {
		if got := accepted(t, pairs...).Process.Listen; got != want {
			t.Errorf("%q: got %s, want %s", pairs, got, want)
		}
	}
}

func TestLoad_TrustDefaultsToTheFrontEndOnlyInFrontOnCloudRun(t *testing.T) {
	t.Parallel()
	cloudrun := Trust{Setting: "cloudrun", Hops: 1, Preset: CloudRunProxy}
	none := Trust{Setting: "none"}
	for _, test := range []struct {
		pairs []string
		want  Trust
	}{
		{[]string{"K_SERVICE=a"}, cloudrun},
		{[]string{"K_SERVICE=a", "LB_ROLE=egress"}, none},
		{[]string{"K_SERVICE=a", "KUBERNETES_SERVICE_HOST=10.0.0.1"}, none},
		{[]string{"K_SERVICE=a", "LB_TRUSTED_PROXIES=off"}, none},
		{[]string{"LB_TRUSTED_PROXIES=gclb+cloudrun"},
			Trust{Setting: "gclb+cloudrun", Hops: 2, Preset: CloudLoadBalancerProxy}},
		{[]string{"LB_TRUSTED_PROXIES=3"}, Trust{Setting: "3", Hops: 3}},
		{[]string{"LB_TRUSTED_PROXIES=10.1.2.3/8;::1"},
			Trust{Setting: "10.1.2.3/8;::1",
				Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}},
	} {
		if got := accepted(t, test.pairs...).Process.TrustedProxies; !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %+v, want %+v", test.pairs, got, test.want)
		}
	}
}

func TestLoad_CloudRunHasItsOwnDefaults(t *testing.T) {
	t.Parallel()
	c := accepted(t, "K_SERVICE=a")
	if c.Process.DrainDelay != 0 || c.Process.AccessLog != "off" || !c.Platform.CloudRun() {
		t.Errorf("got %+v", c.Process)
	}
}

func TestLoad_CookieNamesDifferBetweenServicesAndAgreeWithinOne(t *testing.T) {
	t.Parallel()
	name := func(pairs ...string) string { return accepted(t, pairs...).Service.Affinity.CookieName }
	a, b := name("K_SERVICE=a"), name("K_SERVICE=b")
	if a == b || a != name("K_SERVICE=a", "K_REVISION=2", "OTEL_SERVICE_NAME=x") || a != name("OTEL_SERVICE_NAME=a") {
		t.Errorf("got %s and %s", a, b)
	}
	if !strings.HasPrefix(a, "__lb_") || len(a) > 16 || !isToken(a) {
		t.Errorf("got %s", a)
	}
}

func TestLoad_CertificateAndKeyComeTogether(t *testing.T) {
	t.Parallel()
	path := keyPair(t)
	for one, other := range map[string]string{
		"LB_TLS_CERT_FILE": "LB_TLS_KEY_FILE", "LB_TLS_KEY_FILE": "LB_TLS_CERT_FILE",
		"LB_CLIENT_CERT_FILE": "LB_CLIENT_KEY_FILE", "LB_CLIENT_KEY_FILE": "LB_CLIENT_CERT_FILE",
	} {
		if p := refused(t, one+"="+path); p.Variable != other {
			t.Errorf("%s alone: got %q", one, p)
		}
		accepted(t, one+"="+path, other+"="+path)
	}
	if c := accepted(t, "LB_CA_FILE="+path); c.Service.CAFile != path {
		t.Errorf("got %q", c.Service.CAFile)
	}
}

// keyPair is a file with a certificate and its key.
func keyPair(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pair.pem")
	blocks := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	write(t, path, string(blocks))
	return path
}

func TestLoad_FilesWithoutCertificatesAreRefused(t *testing.T) {
	t.Parallel()
	junk := filepath.Join(t.TempDir(), "junk.pem")
	write(t, junk, "hush")
	one, other := keyPair(t), keyPair(t)
	for variable, pairs := range map[string][]string{
		"LB_CA_FILE":          {"LB_CA_FILE=" + junk},
		"LB_CLIENT_CERT_FILE": {"LB_CLIENT_CERT_FILE=" + junk, "LB_CLIENT_KEY_FILE=" + junk},
		"LB_TLS_CERT_FILE":    {"LB_TLS_CERT_FILE=" + one, "LB_TLS_KEY_FILE=" + other},
	} {
		if p := refused(t, pairs...); p.Variable != variable || strings.Contains(p.String(), "hush") {
			t.Errorf("%q: got %q", pairs, p)
		}
	}
}

func TestLoad_OfTwoPairsWithOneNameTheFirstCounts(t *testing.T) {
	t.Parallel()
	if c := accepted(t, "LB_RETRIES=2", "LB_RETRIES=many"); c.Route.Retry.Attempts != 2 {
		t.Errorf("got %d", c.Route.Retry.Attempts)
	}
}

func TestLoad_AnUnbuiltVariableIsRefusedByName(t *testing.T) {
	t.Parallel()
	e := newEnvironment([]string{"LB_RETRIES=1"})
	for i := range e.table {
		e.table[i].notYet = e.table[i].Name == "LB_RETRIES"
	}
	e.judge()
	if len(e.problems) != 1 || e.problems[0].Reason != "is not supported in this version" {
		t.Errorf("got %v", e.problems)
	}
}

func TestLoad_AFaultOfTheTableIsToldByNameAndHidesNothingElse(t *testing.T) {
	t.Parallel()
	e := newEnvironment([]string{"LB_RETRIES=x", "LB_POLICY=x", "LB_EJECT_ERRORS=7"})
	e.good["LB_RETRIES"], e.good["LB_HEADER_TIMEOUT"], e.good["LB_EJECT_ERRORS"] = "x", "x", "7"
	c := decoded[Config](e)
	if len(e.problems) != 2 || e.problems[0].Variable != "LB_HEADER_TIMEOUT" || e.problems[1].Variable != "LB_RETRIES" {
		t.Errorf("got %v", e.problems)
	}
	if c.Service.Eject.Errors != 7 || c.Route.Retry.Attempts != 1 {
		t.Errorf("got %+v", c.Service)
	}
}

func TestLoad_TheMemoryLimitIsTheContainersLessATenthUnlessItIsGiven(t *testing.T) {
	t.Parallel()
	second := func(limit string) fs.FS { return fstest.MapFS{limitFiles[0]: {Data: []byte(limit)}} }
	first := func(limit string) fs.FS { return fstest.MapFS{limitFiles[1]: {Data: []byte(limit)}} }
	for _, test := range []struct {
		pairs []string
		sys   fs.FS
		want  int64
		shown string
	}{
		{nil, nowhere, 0, ""},
		{nil, second("67108864\n"), 58982 * kib, "58982KiB"},
		{nil, first("67108864\n"), 58982 * kib, "58982KiB"},
		{nil, second("max\n"), 0, ""},
		{nil, first("9223372036854771712\n"), 0, ""},
		{nil, second("many"), 0, ""},
		{[]string{"GOMEMLIMIT=32MiB"}, second("67108864\n"), 0, "32MiB"},
		{[]string{"GOMEMLIMIT="}, second("67108864\n"), 58982 * kib, "58982KiB"},
	} {
		c, _ := load(append(slices.Clone(test.pairs), "LB_BACKENDS=:9000"), test.sys, 0)
		shown := ""
		for _, s := range c.Settings() {
			if s.Name == "GOMEMLIMIT" {
				shown = s.Value
			}
		}
		if c.Platform.MemoryLimit != test.want || shown != test.shown {
			t.Errorf("%q: got %d, explained as %q", test.pairs, c.Platform.MemoryLimit, shown)
		}
	}
}

func TestLoad_MemoryAndDescriptorsBoundTheConnections(t *testing.T) {
	t.Parallel()
	container := func(limit string) fs.FS { return fstest.MapFS{limitFiles[0]: {Data: []byte(limit)}} }
	for _, test := range []struct {
		pairs       []string
		sys         fs.FS
		descriptors int
		budget      int64
		connections int
	}{
		{nil, nowhere, 0, 0, 0},
		{nil, nowhere, 1000, 0, 600},
		{nil, container("67108864\n"), 0, (58982*kib - ownMemory) / 2, 2030},
		{nil, container("67108864\n"), 1000, (58982*kib - ownMemory) / 2, 600},
		{nil, container("8388608\n"), 1 << 20, 7372 * kib / 4 / 2, 76},
		{[]string{"GOMEMLIMIT=57MiB"}, nowhere, 0, 47 * mib / 2, 2005},
		{[]string{"GOMEMLIMIT=57MiB"}, container("1073741824\n"), 0, 47 * mib / 2, 2005},
		{[]string{"GOMEMLIMIT=1TiB"}, container("67108864\n"), 0, (58982*kib - ownMemory) / 2, 2030},
		{[]string{"GOMEMLIMIT=off"}, container("67108864\n"), 0, (58982*kib - ownMemory) / 2, 2030},
		{[]string{"GOMEMLIMIT=59768832"}, nowhere, 0, 47 * mib / 2, 2005},
		{[]string{"GOMEMLIMIT=off"}, nowhere, 0, 0, 0},
		{[]string{"GOMEMLIMIT=57MiB", "LB_MAX_CONNECTIONS=none"}, nowhere, 1000, 47 * mib / 2, 0},
		{[]string{"GOMEMLIMIT=57MiB", "LB_MAX_CONNECTIONS=9000"}, nowhere, 1000, 47 * mib / 2, 9000},
	} {
		c, problems := load(append(slices.Clone(test.pairs), "LB_BACKENDS=:9000"), test.sys, test.descriptors)
		if len(problems) > 0 {
			t.Fatalf("%q: %v", test.pairs, problems)
		}
		if c.Platform.MemoryBudget != test.budget || c.Process.MaxConnections != test.connections {
			t.Errorf("%q, %d descriptors: a budget of %d and %d connections, want %d and %d", test.pairs, test.descriptors,
				c.Platform.MemoryBudget, c.Process.MaxConnections, test.budget, test.connections)
		}
	}
}

func TestLoad_TheCacheFitsIntoMemory(t *testing.T) {
	t.Parallel()
	c := accepted(t, "LB_CACHE=STATIC", "LB_CACHE_SIZE=16MiB", "LB_CACHE_TARGETS=cdn-cache-control", "LB_CACHE_STATUS=off")
	if k := c.Route.Cache; !k.On() || k.Mode != CacheStatic || k.Status ||
		!slices.Equal(k.Targets, []string{"Cdn-Cache-Control"}) {
		t.Errorf("%+v", k)
	}
	if p := c.Process; p.CacheSize != 16<<20 || p.CacheMaxObject != 1<<20 {
		t.Errorf("%d, %d", p.CacheSize, p.CacheMaxObject)
	}
	if p := accepted(t, "LB_CACHE_SIZE=4MiB").Process; p.CacheMaxObject != 512<<10 {
		t.Errorf("an eighth of 4 MiB is %d", p.CacheMaxObject)
	}
	small := accepted(t, "LB_CACHE=origin", "GOMEMLIMIT=64MiB")
	if p := small.Process; p.CacheSize != 16<<20 {
		t.Errorf("a quarter of 64 MiB is %d", p.CacheSize)
	}
	if off := accepted(t, "GOMEMLIMIT=64MiB"); small.Platform.MemoryBudget >= off.Platform.MemoryBudget {
		t.Error("what the cache may fill is given to clients as well")
	}
	for pair, want := range map[string]string{
		"LB_CACHE=on":                       "is none of the accepted words",
		"LB_CACHE_MAX_OBJECT=9MiB":          "is more than an eighth of LB_CACHE_SIZE, which is 8MiB",
		"LB_CACHE_TARGETS=a b":              "which is no field name",
		"LB_CACHE_IGNORE_QUERY=*_x":         "which is no name of a parameter",
		"LB_CACHE_HEURISTIC=0.1":            "needs a percent sign: '10%'",
		"LB_CACHE_STALE_IF_ERROR=60":        "needs a unit: '60s'",
		"LB_CACHE_SIZE=1KiB":                "is out of range",
		"LB_CACHE_STALE_WHILE_REVALIDATE=x": "is not a duration",
	} {
		if p := refused(t, pair); !strings.Contains(p.Reason, want) {
			t.Errorf("%s: %s", pair, p.Reason)
		}
	}
	if p := refused(t, "GOMEMLIMIT=64MiB", "LB_CACHE_SIZE=32MiB"); !strings.Contains(p.Reason,
		"a quarter of the memory limit, which is 16MiB") {
		t.Errorf("%s", p.Reason)
	}
}
