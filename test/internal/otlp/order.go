package otlp

import "slices"

// sorted returns spans by their start time. Of two with the same time, a parent
// comes before its child.
func sorted(spans []*Span) []*Span {
	slices.SortStableFunc(spans, func(a, b *Span) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		if a.ID == b.Parent {
			return -1
		}

		return 1
	})
	return spans
}

// Split returns the server spans and the client spans of a trace.
func Split(spans []*Span) (servers, clients []*Span) {
	for _, s := range spans {
		switch {
		case s.Server:
			servers = append(servers, s)
		case s.Client:
			clients = append(clients, s)
		}
	}

	return servers, clients
}
