package config

import "testing"

func TestHealthCheck_KindAndTarget(t *testing.T) {
	t.Parallel()
	for check, want := range map[HealthCheck]struct {
		kind   CheckKind
		target string
	}{
		"":               {NoCheck, ""},
		"tcp":            {TCPCheck, ""},
		"grpc":           {GRPCCheck, ""},
		"grpc:shop.Cart": {GRPCCheck, "shop.Cart"},
		"/grpc":          {HTTPCheck, "/grpc"},
		"/health?a=b:c":  {HTTPCheck, "/health?a=b:c"},
	} {
		if check.Kind() != want.kind || check.Target() != want.target {
			t.Errorf("%q is of kind %d, with target %q", check, check.Kind(), check.Target())
		}
	}
}
