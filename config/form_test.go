package config

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLoad_EveryVariableReachesItsField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pair string
		got  func(*Config) any
		want any
	}{
		{"PORT=9", func(c *Config) any { return c.Process.Listen }, ":9"},
		{"PORT=010", func(c *Config) any { return c.Process.Listen }, ":10"},
		{"LB_LISTEN=[::1]:0", func(c *Config) any { return c.Process.Listen }, "[::1]:0"},
		{"LB_ROLE=egress", func(c *Config) any { return c.Process.Listen }, "127.0.0.1:15001"},
		{"LB_ROLE=Egress", func(c *Config) any { return c.Process.Role }, Egress},
		{"LB_HEADER_TIMEOUT=1.5s", func(c *Config) any { return c.Process.HeaderTimeout }, 1500 * time.Millisecond},
		{"LB_STALL_TIMEOUT=2m", func(c *Config) any { return c.Process.StallTimeout }, 2 * time.Minute},
		{"LB_IDLE_TIMEOUT=1h", func(c *Config) any { return c.Process.IdleTimeout }, time.Hour},
		{"LB_MAX_HEADER_BYTES=32KiB", func(c *Config) any { return c.Process.MaxHeaderBytes }, int64(32768)},
		{"LB_MAX_BODY_BYTES=1GiB", func(c *Config) any { return c.Route.MaxBodyBytes }, int64(1 << 30)},
		{"LB_MAX_BODY_BYTES=1048576", func(c *Config) any { return c.Route.MaxBodyBytes }, int64(1 << 20)},
		{"LB_MAX_BODY_BYTES=off", func(c *Config) any { return c.Route.MaxBodyBytes }, int64(0)},
		{"LB_MAX_CONNECTIONS=010", func(c *Config) any { return c.Process.MaxConnections }, 10},
		{"LB_MAX_CONNECTIONS=none", func(c *Config) any { return c.Process.MaxConnections }, 0},
		{"LB_DRAIN_DELAY=0", func(c *Config) any { return c.Process.DrainDelay }, time.Duration(0)},
		{"LB_DRAIN_TIMEOUT=25s", func(c *Config) any { return c.Process.DrainTimeout }, 25 * time.Second},
		{"LB_DRAIN_TIMEOUT=2s", func(c *Config) any { return c.Process.DrainDelay }, time.Second},
		{"LB_LOG_LEVEL=warn", func(c *Config) any { return c.Process.LogLevel }, slog.LevelWarn},
		{"LB_LOG_FORMAT=text", func(c *Config) any { return c.Process.LogFormat }, LogText},
		{"LB_ACCESS_LOG=none", func(c *Config) any { return c.Process.AccessLog }, AccessOff},
		{"LB_STATUS_PATH=/-/", func(c *Config) any { return c.Process.StatusPath }, "/-/"},
		{"LB_STATUS_PATH=none", func(c *Config) any { return c.Process.StatusPath }, ""},
		{"LB_STATUS_TOKEN=0123456789abcdef", func(c *Config) any { return c.Process.StatusToken.Value() },
			"0123456789abcdef"},
		{"LB_DISCOVERY_INTERVAL=5s", func(c *Config) any { return c.Service.DiscoveryInterval }, 5 * time.Second},
		{"LB_PROTOCOL=h2c", func(c *Config) any { return c.Service.Protocol }, H2C},
		{"LB_POLICY=round_robin", func(c *Config) any { return c.Service.Policy }, RoundRobin},
		{"LB_HOST_HEADER=client", func(c *Config) any { return c.Service.HostHeader }, HostClient},
		{"LB_CONNECT_TIMEOUT=200ms", func(c *Config) any { return c.Service.ConnectTimeout }, 200 * time.Millisecond},
		{"LB_RESPONSE_TIMEOUT=5m", func(c *Config) any { return c.Route.ResponseTimeout }, 5 * time.Minute},
		{"LB_REQUEST_TIMEOUT=2m", func(c *Config) any { return c.Route.RequestTimeout }, 2 * time.Minute},
		{"LB_REQUEST_TIMEOUT=None", func(c *Config) any { return c.Route.RequestTimeout }, time.Duration(0)},
		{"LB_IDLE_CONN_TIMEOUT=30s", func(c *Config) any { return c.Service.IdleConnTimeout }, 30 * time.Second},
		{"LB_MAX_IN_FLIGHT=80", func(c *Config) any { return c.Service.MaxInFlight }, 80},
		{"LB_QUEUE_SIZE=9", func(c *Config) any { return c.Service.QueueSize }, 9},
		{"LB_QUEUE_TIMEOUT=0s", func(c *Config) any { return c.Service.QueueTimeout }, time.Duration(0)},
		{"LB_IDENTITY=none", func(c *Config) any { return c.Service.Identity }, "off"},
		{"LB_IDENTITY=https://a.example", func(c *Config) any { return c.Service.Identity }, "https://a.example"},
		{"LB_IDENTITY=133742036069-abc.apps.googleusercontent.com", func(c *Config) any { return c.Service.Identity },
			"133742036069-abc.apps.googleusercontent.com"},
		{"LB_IDENTITY=myservice", func(c *Config) any { return c.Service.Identity }, "myservice"},
		{"LB_IDENTITY=/projects/7/apps/a", func(c *Config) any { return c.Service.Identity }, "/projects/7/apps/a"},
		{"LB_IDENTITY=Auto", func(c *Config) any { return c.Service.Identity }, "auto"},
		{"LB_IDENTITY_HEADER=authorization", func(c *Config) any { return c.Service.IdentityHeader }, "Authorization"},
		{"LB_IDENTITY_HEADER=x-SERVERLESS-authorization", func(c *Config) any { return c.Service.IdentityHeader },
			"X-Serverless-Authorization"},
		{"LB_IDENTITY_HEADER=Authorization", func(c *Config) any { return c.Service.IdentityHeader }, "Authorization"},
		{"LB_START_HOLD=0", func(c *Config) any { return c.Service.StartHold }, time.Duration(0)},
		{"LB_SESSION_AFFINITY=cookie", func(c *Config) any { return c.Service.Affinity.Cookie }, true},
		{"LB_SESSION_AFFINITY=off", func(c *Config) any { return c.Service.Affinity.Cookie }, false},
		{"LB_AFFINITY_COOKIE=__Host-lb", func(c *Config) any { return c.Service.Affinity.CookieName }, "__Host-lb"},
		{"LB_AFFINITY_TTL=12h", func(c *Config) any { return c.Service.Affinity.TTL }, 12 * time.Hour},
		{"LB_AFFINITY_TTL=session", func(c *Config) any { return c.Service.Affinity.TTL }, time.Duration(0)},
		{"LB_AFFINITY_IDLE=30m", func(c *Config) any { return c.Service.Affinity.Idle }, 30 * time.Minute},
		{"LB_AFFINITY_STRICT=true", func(c *Config) any { return c.Service.Affinity.Strict }, true},
		{"LB_AFFINITY_SAMESITE=none", func(c *Config) any { return c.Service.Affinity.SameSite }, SameSiteNone},
		{"LB_HEALTH_CHECK=/healthz?full=1", func(c *Config) any { return c.Service.Health.Check },
			HealthCheck("/healthz?full=1")},
		{"LB_HEALTH_CHECK=grpc:shop.Cart", func(c *Config) any { return c.Service.Health.Check },
			HealthCheck("grpc:shop.Cart")},
		{"LB_HEALTH_CHECK=none", func(c *Config) any { return c.Service.Health.Check }, HealthCheck("")},
		{"LB_HEALTH_CHECK_INTERVAL=10s", func(c *Config) any { return c.Service.Health.Interval }, 10 * time.Second},
		{"LB_HEALTH_CHECK_TIMEOUT=1s", func(c *Config) any { return c.Service.Health.Timeout }, time.Second},
		{"LB_HEALTH_CHECK_HEALTHY=4", func(c *Config) any { return c.Service.Health.Healthy }, 4},
		{"LB_HEALTH_CHECK_UNHEALTHY=5", func(c *Config) any { return c.Service.Health.Unhealthy }, 5},
		{"LB_HEALTH_CHECK_STATUS=204", func(c *Config) any {
			return c.Service.Health.Status.Has(204) &&
				!c.Service.Health.Status.Has(200)
		}, true},
		{"LB_PANIC_THRESHOLD=50%", func(c *Config) any { return c.Service.Health.Panic }, 0.5},
		{"LB_SLOW_START=30s", func(c *Config) any { return c.Service.Health.SlowStart }, 30 * time.Second},
		{"LB_EJECT_ERRORS=0", func(c *Config) any { return c.Service.Eject.Errors }, 0},
		{"LB_EJECT_RATE=0", func(c *Config) any { return c.Service.Eject.Rate }, 0.0},
		{"LB_EJECT_TIME=20s", func(c *Config) any { return c.Service.Eject.Time }, 20 * time.Second},
		{"LB_EJECT_MAX=12.5%", func(c *Config) any { return c.Service.Eject.Max }, 0.125},
		{"LB_RETRIES=0", func(c *Config) any { return c.Route.Retry.Attempts }, 0},
		{"LB_RETRY_STATUS=502;503", func(c *Config) any {
			return c.Route.Retry.Status.Has(502) && c.Route.Retry.Status.Has(503) && !c.Route.Retry.Status.Has(504)
		}, true},
		{"LB_RETRY_STATUS=none", func(c *Config) any { return c.Route.Retry.Status.Empty() }, true},
		{"LB_RETRY_BUDGET=10%", func(c *Config) any { return c.Service.RetryBudget }, 0.1},
		{"LB_RETRY_BUFFER=1MiB", func(c *Config) any { return c.Route.Retry.Buffer }, int64(1 << 20)},
		{"LB_TRACE_PLATFORM_UNSAMPLED=1%", func(c *Config) any { return c.Telemetry.PlatformUnsampled }, 0.01},
		{"LB_TRACE_PLATFORM_UNSAMPLED=none", func(c *Config) any { return c.Telemetry.PlatformUnsampled }, -1.0},
		{"OTEL_SDK_DISABLED=TRUE", func(c *Config) any { return c.Telemetry.Disabled }, true},
		{"OTEL_SERVICE_NAME=shop", func(c *Config) any { return c.Telemetry.ServiceName + c.Service.Affinity.KeyName },
			"shopshop/"},
		{"OTEL_TRACES_EXPORTER=console", func(c *Config) any { return string(c.Telemetry.TracesExporter) }, "console"},
		{"OTEL_METRICS_EXPORTER=console", func(c *Config) any { return string(c.Telemetry.MetricsExporter) }, "console"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", func(c *Config) any {
			return c.Telemetry.TracesReceiver.Endpoint + " " + c.Telemetry.MetricsReceiver.Endpoint
		}, "http://c:4318/v1/traces http://c:4318/v1/metrics"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318", func(c *Config) any {
			return c.Telemetry.TracesReceiver.Endpoint + " " + c.Telemetry.MetricsReceiver.Endpoint
		}, "http://c:4318 "},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", func(c *Config) any {
			return string(c.Telemetry.TracesReceiver.Protocol + c.Telemetry.MetricsReceiver.Protocol)
		}, "grpcgrpc"},
		{"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=grpc", func(c *Config) any {
			return string(c.Telemetry.TracesReceiver.Protocol + c.Telemetry.MetricsReceiver.Protocol)
		}, "http/protobufgrpc"},
		{"OTEL_TRACES_SAMPLER=traceidratio", func(c *Config) any { return string(c.Telemetry.Sampler) }, "traceidratio"},
		{"OTEL_TRACES_SAMPLER_ARG=0.25", func(c *Config) any { return c.Telemetry.SamplerArg }, 0.25},
		{"OTEL_PROPAGATORS=none", func(c *Config) any { return len(c.Telemetry.Propagators) }, 0},
		{"OTEL_PROPAGATORS=baggage,tracecontext,baggage", func(c *Config) any { return fmt.Sprint(c.Telemetry.Propagators) },
			"[baggage tracecontext]"},
		{"K_SERVICE=shop", func(c *Config) any { return c.Platform.Service + c.Service.Affinity.KeyName }, "shopshop/"},
		{"K_REVISION=shop-1", func(c *Config) any { return c.Platform.Revision }, "shop-1"},
		{"KUBERNETES_SERVICE_HOST=10.0.0.1", func(c *Config) any { return c.Platform.Kubernetes }, true},
		{"GOOGLE_CLOUD_PROJECT=p", func(c *Config) any { return c.Platform.ProjectID }, "p"},
		{"GCE_METADATA_HOST=metadata.google.internal", func(c *Config) any { return c.Platform.MetadataHost },
			"metadata.google.internal"},
		{"GCE_METADATA_HOST=metadata.google.internal.:80", func(c *Config) any { return c.Platform.MetadataHost },
			"metadata.google.internal.:80"},
		{"GCE_METADATA_HOST=[fd20:ce::254]:80", func(c *Config) any { return c.Platform.MetadataHost }, "[fd20:ce::254]:80"},
		{"GCE_METADATA_HOST=[fd20:ce::254]", func(c *Config) any { return c.Platform.MetadataHost }, "[fd20:ce::254]"},
		{"GCE_METADATA_HOST=fake_metadata:80\r\n", func(c *Config) any { return c.Platform.MetadataHost },
			"fake_metadata:80"},
		{"GCE_METADATA_HOST=127.0.0.1:1", func(c *Config) any { return c.Platform.MetadataHost }, "127.0.0.1:1"},
	}
	for _, test := range tests {
		t.Run(test.pair, func(t *testing.T) {
			t.Parallel()
			if got := test.got(accepted(t, test.pair)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestLoad_AValueOutOfItsFormIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for pair, reason := range map[string]string{
		"PORT=0":                             "is out of range",
		"PORT=http":                          "is not a whole number",
		"PORT=0x50":                          "is not a whole number",
		"PORT=-1":                            "is out of range",
		"PORT=99999999999999999999":          "is out of range",
		"LB_ROLE=sidecar":                    "may be both",
		"LB_POLICY=least_conn":               "is called least_requests here",
		"LB_POLICY=LeastConn":                "is called least_requests here",
		"LB_POLICY=fastest":                  "is none of the accepted words",
		"LB_LISTEN=8080":                     "needs a colon: ':8080'",
		"LB_LISTEN=:http":                    "has a port that is no number",
		"LB_LISTEN=:70000":                   "has a port that is no number",
		"LB_LISTEN=http://a:80":              "is a URL: leave out its scheme, 'a:80'",
		"LB_TRUSTED_PROXIES=0":               "is out of range",
		"LB_TRUSTED_PROXIES=10.0.0.0/33":     "is neither a preset nor a network",
		"LB_TRUSTED_PROXIES=cloudrun;2":      "is neither a preset nor a network",
		"LB_TRUSTED_PROXIES=;":               "names no network",
		"LB_HEADER_TIMEOUT=0":                "cannot be off",
		"LB_HEADER_TIMEOUT=-5s":              "is out of range",
		"LB_HEADER_TIMEOUT=5":                "needs a unit: '5s'",
		"LB_HEADER_TIMEOUT=1.5":              "needs a unit: '1.5s'",
		"LB_HEADER_TIMEOUT=five":             "is not a duration",
		"LB_CONNECT_TIMEOUT=0s":              "cannot be off",
		"LB_CONNECT_TIMEOUT=none":            "cannot be off",
		"LB_MAX_HEADER_BYTES=64KB":           "has an unknown unit",
		"LB_MAX_HEADER_BYTES=1":              "is out of range",
		"LB_MAX_HEADER_BYTES=-1KiB":          "is not a size",
		"LB_MAX_HEADER_BYTES=KiB":            "is not a size",
		"LB_MAX_BODY_BYTES=9999999999999GiB": "is out of range",
		"LB_MAX_CONNECTIONS=0":               "is out of range",
		"LB_LOG_LEVEL=loud":                  "is none of the accepted words",
		"LB_STATUS_PATH=lb/":                 "does not begin and end with '/'",
		"LB_STATUS_PATH=/lb":                 "does not begin and end with '/'",
		"LB_STATUS_PATH=/l b/":               "holds a character",
		"LB_STATUS_PATH=/?/":                 "holds a character",
		"LB_STATUS_PATH=/%2e/":               "holds a character",
		"LB_STATUS_PATH=//":                  "has an empty segment",
		"LB_AFFINITY_STRICT=yes":             "is none of the accepted words",
		"LB_AFFINITY_COOKIE=a b":             "holds a character",
		"LB_AFFINITY_COOKIE=a;b":             "holds a character",
		"LB_IDENTITY_HEADER=X:Y":             "holds a character",
		"LB_IDENTITY=http://a.example":       "is no audience",
		"LB_IDENTITY=https://u:p@a.example":  "is no audience",
		"LB_IDENTITY=https://a.example#x":    "is no audience",
		"LB_IDENTITY=true":                   "is no audience",
		"LB_IDENTITY=https://a.x;https://b":  "is a list",
		"LB_IDENTITY=https://a.x,https://b":  "is a list",
		"LB_IDENTITY=myservice;":             "is a list",
		"LB_IDENTITY=a\nb":                   "is a list",
		"LB_IDENTITY=my service":             "holds a character",
		"LB_IDENTITY='myservice'":            "a quote of its own",
		"LB_IDENTITY_HEADER=host":            "with a meaning of its own",
		"LB_IDENTITY_HEADER=TE":              "with a meaning of its own",
		"GCE_METADATA_HOST=http://127.0.0.1": "has a scheme",
		"GCE_METADATA_HOST=::1:8099":         "is no host name",
		"GCE_METADATA_HOST=::1":              "is no host name",
		"GCE_METADATA_HOST=a:80/v1":          "has a port that is no number",
		"GCE_METADATA_HOST=a/v1":             "is no host name",
		"GCE_METADATA_HOST=a b":              "is no host name",
		"GCE_METADATA_HOST=u@a":              "is no host name",
		"GCE_METADATA_HOST=a:":               "has a port that is no number",
		"GCE_METADATA_HOST=:80":              "is no host name",
		"GCE_METADATA_HOST=a:99999":          "has a port that is no number",
		"GCE_METADATA_HOST=[127.0.0.1]:80":   "is no IPv6 address",
		"GCE_METADATA_HOST=[::1":             "is no IPv6 address",
		"GCE_METADATA_HOST=[fe80::1%eth0]":   "is no IPv6 address",
		"GCE_METADATA_HOST=[::1]x":           "is no IPv6 address",
		"LB_IDENTITY=https://":               "is no audience",
		"LB_HEALTH_CHECK=healthz":            "is no kind of health check",
		"LB_HEALTH_CHECK=grpc:":              "is no kind of health check",
		"LB_HEALTH_CHECK=/a b":               "holds a character",
		"LB_HEALTH_CHECK_STATUS=399-200":     "runs backwards",
		"LB_HEALTH_CHECK_STATUS=99":          "is outside 100 to 599",
		"LB_HEALTH_CHECK_STATUS=2xx":         "a class of statuses is written '200-299'",
		"LB_HEALTH_CHECK_STATUS=ok":          "is neither a status nor a range",
		"LB_HEALTH_CHECK_STATUS=;":           "names no status",
		"LB_EJECT_RATE=70":                   "needs a percent sign: '70%'",
		"LB_EJECT_RATE=0.7":                  "needs a percent sign: '70%'",
		"LB_EJECT_RATE=101%":                 "is out of range",
		"LB_EJECT_RATE=-1%":                  "is not a share",
		"LB_EJECT_RATE=NaN%":                 "is not a share",
		"LB_RETRIES=11":                      "is out of range",
		"LB_CA_FILE=/nonexistent/ca.crt":     "names a file that does not exist",
		"LB_CA_FILE=/":                       "names something that is not a file",
		"LB_DRAIN_DELAY=8s":                  "ends no sooner than LB_DRAIN_TIMEOUT",
		"LB_DRAIN_DELAY=9s":                  "ends no sooner than LB_DRAIN_TIMEOUT",
		"LB_SECRET__BLUE=x":                  "is not a variable of Pillion",
		"LB_REDIRCT__BLUE=x":                 "is not a variable of Pillion; the nearest is LB_REDIRECT__BLUE",
		"LB_RETRIES__BLUE=1": "no service or route is called blue (neither LB_BACKENDS__BLUE nor " +
			"LB_ROUTE__BLUE is set)",
		"LB_CA_FILES=x":             "the nearest is LB_CA_FILE",
		"LB_AFFINITY_SECRET_FLIE=x": "the nearest is LB_AFFINITY_SECRET_FILE",
		"LB_RETREIS=1":              "the nearest is LB_RETRIES",
		"LB_POOL_PORT=8080":         "is not a variable of Pillion",
		"LB_STATUS_TOKEN=short":     "the value is too short",
		"LB_AFFINITY_SECRET=short":  "the value is too short",
		"LB_AFFINITY_SECRET=; ;":    "the value holds no key",

		"LB_STATUS_TOKEN=${STATUS_TOKEN_OF_TEAM}":                      "that nothing has replaced",
		"LB_AFFINITY_SECRET=$(openssl rand -hex 32)":                   "that nothing has replaced",
		"LB_AFFINITY_SECRET=`openssl rand -hex 32`":                    "that nothing has replaced",
		"LB_AFFINITY_SECRET=0123456789abcdef;${FORMER_SECRET_OF_OURS}": "that nothing has replaced",
	} {
		t.Run(pair, func(t *testing.T) {
			t.Parallel()
			name, _, _ := strings.Cut(pair, "=")
			p := refused(t, pair)
			if p.Variable != name || !strings.Contains(p.Reason, reason) {
				t.Errorf("got %q", p)
			}
		})
	}
}
