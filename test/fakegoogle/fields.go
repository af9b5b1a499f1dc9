package fakegoogle

import (
	"encoding/json"
	"net/http"
	"strings"
)

// partial returns the fields of an answer that a field mask selects, such as
// items(name,tags/items),a/*/b.
func partial(answer map[string]any, mask string) (map[string]any, *Fault) {
	if mask == "" {
		return answer, nil
	}

	tree, rest := readMask(mask)
	if rest != "" || len(tree) == 0 {
		return nil, &Fault{Code: http.StatusBadRequest, Kind: "invalidParameter", Message: "Invalid field selection " + mask}
	}

	var plain map[string]any // decoded, without Go types
	text, err := json.Marshal(answer)
	if err == nil {
		err = json.Unmarshal(text, &plain)
	}
	if err != nil {
		panic(err) // the JSON was encoded above
	}
	cut, _ := tree.of(plain).(map[string]any)

	return cut, nil
}

// masked has the selected fields, each with its own. nil selects everything.
type masked map[string]masked

// readMask reads a mask up to a closing parenthesis or the end.
func readMask(mask string) (masked, string) {
	all := masked{}
	for {
		end := strings.IndexAny(mask, ",()")
		if end < 0 {
			end = len(mask)
		}
		path := strings.Split(mask[:end], "/")
		mask = mask[end:]

		var inner masked
		if strings.HasPrefix(mask, "(") {
			inner, mask = readMask(mask[1:])
			mask = strings.TrimPrefix(mask, ")")
		}
		all.add(path, inner)
		if !strings.HasPrefix(mask, ",") {
			return all, mask
		}
		mask = mask[1:]
	}
}

func (m masked) add(path []string, inner masked) {
	for len(path) > 1 {
		if m[path[0]] == nil {
			m[path[0]] = masked{}
		}
		m, path = m[path[0]], path[1:]
	}
	m[path[0]] = inner
}

func (m masked) of(value any) any {
	if m == nil {
		return value
	}

	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = m.of(v[i])
		}
	case map[string]any:
		for key := range v {
			inner, ok := m[key]
			if !ok {
				inner, ok = m["*"]
			}
			if !ok {
				delete(v, key)
				continue
			}
			v[key] = inner.of(v[key])
		}
	}

	return value
}
