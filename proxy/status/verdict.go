package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/backend"
	"github.com/pillion-lb/pillion/proxy/history"
)

// severity ranks the problem of a backend from 0 (none) to 3 (not in use).
func severity(b backend.State) int {
	switch {
	case b.State == backend.Ejected, b.State == backend.Unhealthy:
		return 3
	case b.Failing, fails(b):
		return 2
	case b.State == backend.Eligible && recent(b).Failures > 0:
		return 1
	}

	return 0
}

// usable reports whether a backend is eligible and its last attempts did not
// fail.
func usable(b backend.State) bool { return b.State == backend.Eligible && !b.Failing }

// fails reports whether a backend is in use although at least half of its
// attempts of the last minute failed. One or two say too little.
func fails(b backend.State) bool {
	const least = 3
	r := recent(b)

	return usable(b) && r.Requests >= least && r.ErrorShare >= 0.5
}

// word returns a backend's state in the words of the page, with the CSS class
// of its colour.
func word(b backend.State) (text string, class markup) {
	switch {
	case b.Failing:
		return "failing", "bad"
	case fails(b):
		return "in use, fails", "bad"
	case b.State == backend.Eligible:
		return "in use", "good"
	case b.State == backend.Draining:
		return "draining", "wait"
	case b.State == backend.Unhealthy:
		return "out: probe", "bad"
	}

	return "out: ejected", "bad"
}

// recent returns the numbers of a backend's last minute, or zeros if no history
// is kept.
func recent(b backend.State) history.Recent {
	if b.Recent == nil {
		return history.Recent{}
	}

	return *b.Recent
}

// verdict is the state of the process in one or two sentences.
type verdict struct {
	short string // for the title of the browser's tab: "2 of 3 in use"
	text  string
	class markup
}

// judge returns the verdict on a state.
func judge(s State) verdict {
	total, inUse, panics := 0, 0, false
	var out, failing []string
	for _, b := range s.Backends {
		if b.State == backend.Draining {
			continue
		}
		total++
		panics = panics || b.Panic
		if usable(b) {
			inUse++
			if fails(b) {
				failing = append(failing, label(b))
			}
		} else {
			out = append(out, label(b))
		}
	}

	v := verdict{short: fmt.Sprintf("%d of %d in use", inUse, total), class: "good"}
	switch {
	case total == 0:
		v.class, v.text = "bad", "503: no backend is known."
		for _, source := range s.Sources {
			if source.Age == nil && source.Error == "" {
				v.class, v.text = "wait", "No backend is known yet."
			}
		}
	case panics:
		v.class, v.short = "wait", fmt.Sprintf("%d of %d healthy", inUse, total)
		v.text = fmt.Sprintf("%d of %d backends are healthy, so all are used.", inUse, total)
	case inUse == 0:
		v.class, v.text = "bad", "503: no backend answers."
	case inUse == total && total == 1:
		v.text = "The backend is in use."
	case inUse == total:
		v.text = fmt.Sprintf("All %d backends are in use.", total)
	default:
		v.class = "wait"
		v.text = fmt.Sprintf("%d of %d in use. %s.", inUse, total, names(out, "is out", "are out"))
	}
	if len(failing) > 0 {
		v.text += " " + names(failing, "fails", "fail") + "."
	}

	return v.withFailures(s.Traffic.Recent).withProblems(len(problems(s)))
}

// withProblems changes a good verdict if the page lists problems, which it does
// below the verdict.
func (v verdict) withProblems(n int) verdict {
	if v.class == "good" && n > 0 {
		v.class = "wait"
		v.text += " See the problems below."
	}

	return v
}

// withFailures adds the failed requests of the last minute to a verdict. r may
// be nil.
func (v verdict) withFailures(r *history.Recent) verdict {
	if r == nil || r.Failures == 0 {
		return v
	}

	share := r.ErrorShare
	v.text += fmt.Sprintf(" %s of the requests failed in the last minute.", percent(share))
	if v.class == "good" && share >= 0.01 {
		v.class = "wait"
	}
	if share >= 0.5 {
		v.class = "bad"
	}

	return v
}

// names returns the subject and verb of a sentence about backends, such as
// "a and b are out".
func names(list []string, one, many string) string {
	const most = 3
	switch n := len(list); {
	case n == 1:
		return list[0] + " " + one
	case n <= most:
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1] + " " + many
	default:
		return fmt.Sprintf("%s and %d more %s", strings.Join(list[:most-1], ", "), n-most+1, many)
	}
}

// why returns the reason for a backend's state, with the last error and its
// time.
func why(b backend.State, now time.Time) string {
	var parts []string
	if b.Failing {
		parts = append(parts, fmt.Sprintf("its last %d attempts failed", b.FailuresInRow))
	}
	reason, _, _ := strings.Cut(b.Reason, "; ejected until")
	if reason != "" {
		parts = append(parts, reason)
	}
	if b.EjectedUntil.After(now) {
		parts = append(parts, "next trial in "+age(now, b.EjectedUntil))
	}
	switch {
	case b.LastError == "", severity(b) == 0 && now.Sub(b.LastErrorAt) > 10*time.Minute:
	case strings.HasSuffix(reason, b.LastError):
		parts = append(parts, "last error "+ago(b.LastErrorAt, now))
	default:
		parts = append(parts, "last error "+ago(b.LastErrorAt, now)+": "+b.LastError)
	}

	return strings.Join(parts, "; ")
}

// problem is a row of the list of problems.
type problem struct{ who, text string }

// problems lists the problems of backends, sources, keys and the store. The
// worst backend is first.
func problems(s State) (list []problem) {
	for _, b := range (view{sort: "problems"}).backends(s.Backends) {
		if severity(b) < 2 {
			continue
		}
		state, _ := word(b)
		switch {
		case fails(b):
			state += " " + percent(recent(b).ErrorShare) + " of its attempts in the last minute"
		case !b.Failing: // a failing one has been in use since then
			state += " " + lasting(b.Since, s.At)
		}
		list = append(list, problem{label(b), state + ": " + why(b, s.At)})
	}

	for _, source := range s.Sources {
		switch {
		case source.Error != "" && source.Age == nil:
			list = append(list, problem{source.label(), "has not answered: " + source.Error})
		case source.Error != "":
			list = append(list, problem{source.label(),
				"does not answer, its last backends stay: " + source.Error})
		case source.Age == nil:
			list = append(list, problem{source.label(), "has not answered yet"})
		}
	}

	return append(list, accessProblems(s)...)
}
