//go:build linux

package main

import "fmt"

// condition is what distinguishes a row. It changes the settings of the proxy,
// and the requests of the clients.
type condition func(b *bench, s *setup, l *loadSpec) error

// nothing is the condition of rows that others are compared with.
func nothing(*bench, *setup, *loadSpec) error { return nil }

// told is a condition that sets variables of Pillion.
func told(env ...string) condition {
	return func(_ *bench, s *setup, _ *loadSpec) error {
		s.Env = append(s.Env, env...)
		return nil
	}
}

// coded has answers compressed: in a coding by Pillion, and by nginx with gzip
// at a level.
func coded(coding string, level int) condition {
	return func(_ *bench, s *setup, l *loadSpec) error {
		s.Env = append(s.Env, "LB_COMPRESS="+coding)
		s.GzipLevel, l.Coding = level, coding
		return nil
	}
}

// uncached has Pillion pass on answers that could be stored.
func uncached(_ *bench, s *setup, _ *loadSpec) error {
	s.Kept = false
	return nil
}

// manyRoutes are 20 of them, of which the last takes the requests.
func manyRoutes() condition {
	env := []string{"LB_ROUTE__LAST=/bytes/*", "LB_SERVICE__LAST=default"}
	for i := range 19 {
		env = append(env, fmt.Sprintf("LB_ROUTE__R%d=/api/v%d/*", i, i), fmt.Sprintf("LB_SERVICE__R%d=default", i))
	}

	return told(env...)
}

// withToken adds a valid token to every request. If checked is true, Pillion
// verifies it.
func withToken(checked bool) condition {
	return func(b *bench, s *setup, l *loadSpec) error {
		i, err := b.theIssuer()
		if err != nil {
			return err
		}

		l.Token = i.token
		if checked {
			s.Env = append(s.Env, "LB_AUTH="+i.url+"?audience=bench")
		}

		return nil
	}
}
