package auth

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
)

// Tried is the result of fetching the keys of one provider.
type Tried struct {
	Provider string
	Where    string // the URL or the path of the keys, or the issuer
	Keys     int    // by which tokens can be verified
	Unusable int    // others
	Err      error
}

// Try asks for the keys of every provider once, all at a time, and returns what
// came of it, in the order of their names. It keeps none of them.
func (k *Keys) Try(ctx context.Context) []Tried {
	byName := make(map[string]Tried, len(k.sets))
	var mu sync.Mutex
	var asking sync.WaitGroup
	for at, set := range k.sets {
		asking.Go(func() {
			t := Tried{Provider: set.name, Where: cmp.Or(at.keys, at.issuer)}
			f, err := at.fetch(ctx, k.client)
			if err == nil {
				var keys []key
				keys, t.Unusable, err = parseKeys(f.text)
				t.Keys = len(keys)
			}
			t.Err = err

			mu.Lock()
			defer mu.Unlock()
			byName[t.Provider+" "+t.Where] = t
		})
	}
	asking.Wait()

	var tried []Tried
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		tried = append(tried, byName[name])
	}

	return tried
}
