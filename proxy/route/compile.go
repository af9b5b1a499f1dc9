package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// Compile makes the table of some rules. It returns all problems that it finds;
// the table is incomplete if there are any. A rule whose text is "none" has no
// items.
func Compile(rules []Rule, by By) (*Table, []config.Problem) {
	t := &Table{rules: rules, by: by}
	problems := t.parse()
	problems = append(problems, t.refuseTwice()...)
	problems = append(problems, t.divide()...)

	slices.SortStableFunc(t.items, compare)
	t.markEqual()
	for n, i := range t.items {
		i.place = n
		if i.first {
			t.trees[0].add(i)
		} else {
			t.trees[1].add(i)
		}
	}

	return t, problems
}

// parse reads the items of all rules.
func (t *Table) parse() (problems []config.Problem) {
	for n, rule := range t.rules {
		texts := split(rule.Text)
		if len(texts) == 1 &&
			(strings.EqualFold(texts[0], "none") || strings.EqualFold(texts[0], "off")) {
			continue
		}
		for _, text := range texts {
			i, err := parse(text)
			if err != nil {
				problems = append(problems, rule.problem(text, err.Error()))
				continue
			}
			if rule.Rest != "" && !i.below {
				problems = append(problems, config.Problem{Variable: rule.Rest, Reason: fmt.Sprintf(
					"ends in '*', but the item '%s' of %s is one exact path: there is no rest",
					text, rule.Variable)})
			}
			i.rule, i.name, i.first = n, rule.Name, rule.First
			slices.SortFunc(i.fields, compareFields)
			slices.SortFunc(i.query, compareFields)
			t.items = append(t.items, i)
		}
	}

	return problems
}

func compareFields(a, b field) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
}

// problem describes what is wrong with an item of the rule.
func (r Rule) problem(item, reason string) config.Problem {
	return config.Problem{
		Variable: r.Variable,
		Given:    item,
		Reason:   fmt.Sprintf("%q %s", item, reason),
		Accepted: Grammar,
		Example:  "LB_ROUTE__API='/api/*'",
	}
}

// refuseTwice finds items that are given twice, because one of the two could
// never take a request.
func (t *Table) refuseTwice() (problems []config.Problem) {
	type key struct {
		condition string
		first     bool
		rule      int // of items with a share, which several rules may have in common
	}
	said := map[key]*Item{}
	for _, i := range t.items {
		k := key{condition: i.condition(), first: i.first, rule: -1}
		if i.share != noShare {
			k.rule = i.rule
		}
		other := said[k]
		if other == nil {
			said[k] = i
			continue
		}

		reason := "is already said by " + t.rules[other.rule].Variable
		switch {
		case other.rule == i.rule:
			reason = "is said twice"
		case !i.first:
			reason += "; " + strings.Replace(t.rules[i.rule].Variable, "LB_ROUTE", "LB_ROUTE_FIRST", 1) +
				"='true' puts a route before all others"
		}
		problems = append(problems, t.rules[i.rule].problem(i.Text, reason))
	}

	return problems
}

// divide gives each share its numbers. Items with the same condition share one
// range of numbers, in the alphabetical order of their routes.
func (t *Table) divide() (problems []config.Problem) {
	scales := map[string][]*Item{}
	var order []string
	for _, i := range t.items {
		if i.share == noShare {
			continue
		}
		c := i.condition()
		if scales[c] == nil {
			order = append(order, c)
		}
		scales[c] = append(scales[c], i)
	}

	for _, c := range order {
		scale := scales[c]
		last := scale[len(scale)-1]
		slices.SortStableFunc(scale, func(a, b *Item) int { return strings.Compare(a.name, b.name) })
		sum := 0
		for _, i := range scale {
			i.from, i.to = sum, sum+i.share
			sum = i.to
		}
		if sum > Numbers {
			problems = append(problems, t.rules[last.rule].problem(last.Text,
				fmt.Sprintf("is too much: shares of '%s' add up to %s",
					strings.TrimSuffix(c, "?"), percent(sum))))
		}
	}

	return problems
}

// markEqual marks items of different routes that can take the same request and
// are equally specific, so that only the names of their routes decide.
func (t *Table) markEqual() {
	for n := 1; n < len(t.items); n++ {
		a, b := t.items[n-1], t.items[n]
		if a.rule == b.rule || a.first != b.first ||
			a.HostText()+a.PathText() != b.HostText()+b.PathText() {
			continue
		}
		if specific(a, b) == 0 && !exclude(a, b) {
			a.equal, b.equal = true, true
		}
	}
}

// exclude reports whether no request can meet both of two items with one path.
func exclude(a, b *Item) bool {
	if len(a.method) > 0 && len(b.method) > 0 && !overlap(a.method, b.method) {
		return true
	}
	if a.share != noShare && a.condition() == b.condition() {
		return true // they have different numbers of one range
	}
	for _, f := range a.query {
		for _, g := range b.query {
			if f.name == g.name && f.words != nil && g.words != nil && !overlap(f.words, g.words) {
				return true
			}
		}
	}

	return false
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(w string) bool { return slices.Contains(b, w) })
}
