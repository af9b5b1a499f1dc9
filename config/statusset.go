package config

import (
	"fmt"
	"strings"
)

// StatusSet is a set of HTTP status codes, written as codes and ranges
// ("200-399", "502;503"). The zero value is empty.
type StatusSet struct{ bits [8]uint64 }

// Has reports whether the set holds code (100 to 599).
func (s StatusSet) Has(code int) bool {
	i := code - 100
	return i >= 0 && i < 512 && s.bits[i>>6]&(1<<(i&63)) != 0
}

// Add adds code (100 to 599) to the set; others are ignored.
func (s *StatusSet) Add(code int) {
	if i := code - 100; i >= 0 && i < 500 {
		s.bits[i>>6] |= 1 << (i & 63)
	}
}

// Empty reports whether the set holds no code.
func (s StatusSet) Empty() bool { return s == StatusSet{} }

// EnvDecode reads a list of codes and ranges. The empty text is the empty set.
func (s *StatusSet) EnvDecode(given string) error {
	var set StatusSet
	for _, item := range split(given) {
		if err := set.addItem(item); err != nil {
			return err
		}
	}

	*s = set
	return nil
}

func (s *StatusSet) addItem(item string) error {
	first, last, isRange := strings.Cut(item, "-")
	if !isRange {
		last = first
	}

	from, ok1 := digits(strings.TrimSpace(first))
	to, ok2 := digits(strings.TrimSpace(last))
	if digit, ok := strings.CutSuffix(strings.ToLower(item), "xx"); ok && len(digit) == 1 {
		return fmt.Errorf("has the item %q: a class of statuses is written '%s00-%s99'", clip(item),
			digit, digit)
	}

	if !ok1 || !ok2 {
		return fmt.Errorf("has the item %q, which is neither a status nor a range", clip(item))
	}

	if from < 100 || to > 599 || from > to {
		return fmt.Errorf("has the item %q, which is outside 100 to 599 or runs backwards",
			clip(item))
	}

	for code := from; code <= to; code++ {
		s.Add(code)
	}

	return nil
}
