package otlp

import "slices"

// sorted orders spans by their start, a parent before a child of the same instant.
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

// Split is the spans of one trace as the servers' and the clients'.
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
