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
		"LB_PORT_80_TCP=tcp://10.96.0.10:80", "LB_PORT_80_TCP_PROTO=tcp", "LB_PORT_80_TCP_PORT=80", "LB_PORT_80_TCP_ADDR=10.96.0.10",
		"LB_APP_SERVICE_HOST=10.96.0.11", "LB_APP_SERVICE_PORT=53", "LB_APP_SERVICE_PORT_DNS=53", "LB_APP_PORT=udp://10.96.0.11:53",
		"LB_APP_PORT_53_UDP=udp://10.96.0.11:53", "LB_APP_PORT_53_UDP_PROTO=udp", "LB_APP_PORT_53_UDP_PORT=53", "LB_APP_PORT_53_UDP_ADDR=10.96.0.11",
		"LB_X_PORT_9_SCTP=sctp://10.96.0.12:9", "LB__A_PORT=sctp://10.96.0.12:9")
}

func TestStrays_WhatOnlyLooksLikeAServiceLinkIsRefused(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{
		"LB_PORT=8080", "LB_PORT=http://10.0.0.1:80", "LB_APP_PORT=10.0.0.1", "LB_REPORT=tcp://10.0.0.1:80", "LB_XSERVICE_HOST=10.0.0.1",
		"LB_PORT_80=tcp://10.0.0.1:80", "LB_PORT_X_TCP=tcp://10.0.0.1:80", "LB_PORT_80_TCP_NAME=x", "LB_SERVICE_PORT_=1", "LB_HOST=a",
	} {
		name, _, _ := strings.Cut(pair, "=")
		if p := refused(t, pair); p.Variable != name {
			t.Errorf("%s: got %q", pair, p)
		}
	}
}

func TestStrays_NamesOfOthersAreTheirs(t *testing.T) {
	t.Parallel()
	accepted(t, "PATH=/bin", "lb_retries=x", "LBX=1", "OTEL_PYTHON_LOG_LEVEL=x", "OTEL_EXPORTER_JAEGER_ENDPOINT=x", "=", "X", "")
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
		{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1},
		{"abcd", "acbd", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
