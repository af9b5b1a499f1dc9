package config

import (
	"strings"
	"testing"
)

func TestStrays_ServiceLinksOfServicesCalledLikeUsAreIgnored(t *testing.T) {
	t.Parallel()
	accepted(t,
		// what Kubernetes injects for the Services lb and lb-app
		"LB_SERVICE_HOST=10.96.0.10", "LB_SERVICE_PORT=80", "LB_SERVICE_PORT_HTTP=80", "LB_PORT=tcp://10.96.0.10:80",
		"LB_PORT_80_TCP=tcp://10.96.0.10:80", "LB_PORT_80_TCP_PROTO=tcp", "LB_PORT_80_TCP_PORT=80",
		"LB_PORT_80_TCP_ADDR=10.96.0.10", "LB_APP_SERVICE_HOST=10.96.0.11", "LB_APP_SERVICE_PORT=53",
		"LB_APP_SERVICE_PORT_DNS=53", "LB_APP_PORT=udp://10.96.0.11:53", "LB_APP_PORT_53_UDP=udp://10.96.0.11:53",
		"LB_APP_PORT_53_UDP_PROTO=udp", "LB_APP_PORT_53_UDP_PORT=53", "LB_APP_PORT_53_UDP_ADDR=10.96.0.11",
		"LB_X_PORT_9_SCTP=sctp://10.96.0.12:9", "LB__A_PORT=sctp://10.96.0.12:9")
}

func TestStrays_LinksOfDockerAreIgnored(t *testing.T) {
	t.Parallel()
	accepted(t,
		"LB_NAME=/web/lb", "LB_ENV_PATH=/usr/bin", "LB_ENV_NGINX_VERSION=1.25.3", "LB_ENV_LB_BACKENDS=:80",
		"LB_ENV_X_ENV_Y=1", "LB_ENV__=1", "LB_PORT=tcp://172.17.0.5:80", "LB_PORT_80_TCP=tcp://172.17.0.5:80",
		"LB_PORT_80_TCP_ADDR=172.17.0.5", "LB_PORT_80_TCP_PORT=80", "LB_PORT_8000_TCP_START=tcp://172.17.0.5:8000",
		"LB_PORT_8000_TCP_END=tcp://172.17.0.5:8009",
		"LB_PORT_8000_TCP_PORT_START=8000", "LB_PORT_8000_TCP_PORT_END=8009", "LB_PORT_8000_TCP_PROTO=tcp")
	accepted(t, "LB_APP_NAME=/web_1/lb_app", "LB_APP_ENV_HOME=/root", "LB_APP_PORT=udp://172.17.0.5:53",
		"LB_1_NAME=/x/lb_1", "LB_1_ENV_A=b")
	accepted(t, "LB_NAME=/web/lb") // a container without ports and variables
}

func TestStrays_WhatOnlyLooksLikeAServiceLinkIsRefused(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"LB_PORT=8080", "LB_PORT=http://10.0.0.1:80", "LB_APP_PORT=10.0.0.1", "LB_REPORT=tcp://10.0.0.1:80",
		"LB_XSERVICE_HOST=10.0.0.1", "LB_PORT_80=tcp://10.0.0.1:80", "LB_PORT_X_TCP=tcp://10.0.0.1:80",
		"LB_PORT_80_TCP_NAME=x", "LB_SERVICE_PORT_=1", "LB_HOST=a", "LB_NAME=web", "LB_NAME=/web", "LB_NAME=/a/b/c",
		"LB_NAME=//lb", "LB_NAME=/web/", "LB_ENV_PATH=/bin", "LB_APP_ENV_X=1", "LB_PORT_80_TCP_PORT_MIDDLE=81",
	} {
		name, _, _ := strings.Cut(pair, "=")
		if p := refused(t, pair); p.Variable != name {
			t.Errorf("%s: got %q", pair, p)
		}
	}
}

func TestStrays_AnotherLinkDoesNotExcuseAName(t *testing.T) {
	t.Parallel()
	if p := refused(t, "LB_APP_NAME=/web/lb-app", "LB_ENV_X=1"); p.Variable != "LB_ENV_X" {
		t.Errorf("got %q", p)
	}
}

func TestStrays_NamesOfOthersAreTheirs(t *testing.T) {
	t.Parallel()
	accepted(t, "PATH=/bin", "lb_retries=x", "LBX=1", "OTEL_PYTHON_LOG_LEVEL=x", "OTEL_EXPORTER_JAEGER_ENDPOINT=x", "=",
		"X", "")
}

func TestStrays_TheValueOfAnUnknownNameIsNotShown(t *testing.T) {
	t.Parallel()
	p := refused(t, "LB_AFFINITY_SECRETS=hush-hush-hush-hush")
	if strings.Contains(p.String()+p.Given, "hush") || !strings.HasSuffix(p.Reason, "the nearest is LB_AFFINITY_SECRET") {
		t.Errorf("got %q, given %q", p, p.Given)
	}
}

func TestDistance_CountsSlipsOfTheFinger(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "ab", 1},
		{"abc", "xabc", 1},
		{"abcd", "acbd", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
