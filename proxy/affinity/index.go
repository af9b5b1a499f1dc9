package affinity

// Index finds the backend of a cookie. It is immutable.
type Index struct {
	byKey []map[cookieID]int32 // for each key: the index of each name, by the hash of the name
}

// Index makes the index for a list of backends' names.
func (r *Keyring) Index(names []string) Index {
	x := Index{byKey: make([]map[cookieID]int32, len(r.keys))}

	for i, k := range r.keys {
		x.byKey[i] = make(map[cookieID]int32, len(names))
		for j, name := range names {
			x.byKey[i][k.name(name)] = int32(j)
		}
	}

	return x
}

// Find returns the position of the cookie's backend in the list of names. It
// reports false if the backend is not in the list.
func (x Index) Find(b Binding) (place int, ok bool) {
	if b.key >= len(x.byKey) {
		return 0, false
	}
	i, ok := x.byKey[b.key][b.id]

	return int(i), ok
}
