//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
)

// bound is a figure that must hold for Pillion.
type bound struct {
	name    string // of the case
	of      string // row; "pillion" when empty
	metric  metric
	over    []string // rows it is divided by; none: an absolute figure
	pick    choice
	limit   float64
	stretch float64
}

// choice selects the row that a bound is compared with.
type choice string

const (
	better choice = "the better of"
	worse  choice = "the worse of"
)

var both = []string{"nginx", "haproxy"}

// bounds are the promises. Figures of Go benchmarks are not among them.
func bounds() []bound {
	list := []bound{
		{name: "get64", metric: cpu, over: []string{"nginx"}, limit: 1, stretch: 0.9},
		{name: "get64", metric: cpu, over: []string{"haproxy"}, limit: 1, stretch: 0.9},
		{name: "get64", metric: cpu, over: []string{"caddy"}, limit: 0.3},
		{name: "get64", metric: cpu, over: []string{"reverseproxy"}, limit: 0.4},
		{name: "get64", metric: calls, limit: 4.7},
		{name: "get64", metric: p99, over: []string{"nginx"}, limit: 1.25},
		{name: "rate2000", metric: cpu, over: []string{"nginx"}, limit: 1.25},
		{name: "get1", metric: cpu, over: []string{"nginx"}, limit: 1.25},
		{name: "get1000", metric: cpu, over: []string{"pillion@64"}, limit: 1.2},
		{name: "backends1000", metric: cpu, over: []string{"pillion@3"}, limit: 1.2},
		{name: "sampled", of: sampledPillion, metric: cpu, over: []string{"pillion"}, limit: 2, stretch: 1.6},
		{name: "get10m", metric: cpu, over: both, pick: better, limit: 1},
		{name: "file10m", metric: cpu, over: []string{"nginx"}, limit: 1.1},
		{name: "cache64", metric: cpu, over: []string{"nginx"}, limit: 1},
		{name: "cache64k", metric: cpu, over: []string{"nginx"}, limit: 1},
		{name: "miss", metric: cpu, over: []string{"pillion-off"}, limit: 1.1},
		{name: "gzipjson", metric: flowCPU, over: []string{"nginx"}, limit: 1.3},
		{name: "gzipjson", metric: share, over: []string{"nginx"}, limit: 1.05},
		{name: "gzipjson", of: "pillion-zstd", metric: flowCPU, over: []string{"pillion"}, limit: 0.9},
		{name: "gzipjson", of: "pillion-zstd", metric: share, over: []string{"pillion"}, limit: 1.05},
		{name: "h1h2", metric: cpu, over: []string{"haproxy"}, limit: 1},
		{name: "routes20", metric: cpu, over: []string{"pillion-none"}, limit: 1.02},
		{name: "token", metric: cpu, over: []string{"pillion-none"}, limit: 1.1},
		{name: "limit", metric: cpu, over: []string{"pillion-none"}, limit: 1.1},
		{name: "put10m", metric: cpu, over: both, pick: better, limit: 1},
		{name: "tunnel", metric: flowCPU, over: []string{"haproxy"}, limit: 1},
		{name: "tunnel4k", metric: flowCPU, over: []string{"haproxy"}, limit: 1},
		{name: "tunnel1m", metric: flowCPU, over: []string{"haproxy"}, limit: 1},
		{name: "idle10k", metric: perConn, limit: 4},
		{name: "idle10k", metric: resident, limit: 20},
		{name: "start", metric: startup, limit: 15},
	}
	for _, name := range []string{"connect64", "post4k", "get64k"} {
		list = append(list,
			bound{name: name, metric: cpu, over: both, pick: worse, limit: 1},
			bound{name: name, metric: cpu, over: both, pick: better, limit: 1.2})
	}

	return list
}

type outcome string

const (
	held       outcome = "held"
	stretched  outcome = "held, stretch too"
	missed     outcome = "MISSED"
	unmeasured outcome = "not measured"
	noted      outcome = "for information"
)

// verdict is a bound and the measured value.
type verdict struct {
	Case, Figure   string
	Quartiles      quartiles
	Bound, Stretch float64
	Outcome        outcome
}

// judge compares all cases with their bounds, and Pillion with its older self
// where that ran beside it.
func judge(cases []*caseResult) []verdict {
	var verdicts []verdict
	for _, c := range cases {
		for _, b := range bounds() {
			if b.name == c.Name {
				verdicts = append(verdicts, b.judge(c))
			}
		}
		verdicts = append(verdicts, compareWithOld(c)...)
	}

	return verdicts
}

// compareWithOld sets Pillion beside its older self, without a bound.
func compareWithOld(c *caseResult) []verdict {
	var verdicts []verdict
	for _, m := range c.Columns {
		if slices.Contains([]metric{p50, userCPU, systemCPU}, m) {
			continue
		}

		v := bound{metric: m, over: []string{"old"}}.judge(c)
		if v.Outcome != unmeasured {
			v.Outcome = noted
			verdicts = append(verdicts, v)
		}
	}

	return verdicts
}

func (b bound) judge(c *caseResult) verdict {
	v := verdict{Case: c.Name, Bound: b.limit, Stretch: b.stretch, Outcome: unmeasured, Figure: b.figure()}
	name := b.of
	if name == "" {
		name = "pillion"
	}

	ours := c.entry(name)
	if ours == nil || len(ours.Values[b.metric]) == 0 {
		return v
	}

	values := ours.Values[b.metric]
	if len(b.over) > 0 {
		var ok bool
		if values, ok = b.ratio(c, values); !ok {
			return v
		}
	}

	q := values.quartiles()
	if math.IsNaN(q.Q1+q.Median+q.Q3) || math.IsInf(q.Q1+q.Median+q.Q3, 0) {
		return v // divided by a row that cost nothing measurable
	}

	v.Quartiles = q
	v.Outcome = b.outcome(q.Median)
	return v
}

// ratio divides by the row that the bound names. Better is the row that costs
// less, so that the ratio to it is the larger one.
func (b bound) ratio(c *caseResult, values series) (series, bool) {
	var picked series
	for _, name := range b.over {
		base := c.entry(name)
		if base == nil || len(base.Values[b.metric]) == 0 {
			return nil, false
		}

		r := values.over(base.Values[b.metric])
		larger := picked == nil || r.median() > picked.median()
		if picked == nil || larger == (b.pick == better) {
			picked = r
		}
	}

	return picked, true
}

func (b bound) outcome(v float64) outcome {
	switch {
	case b.stretch > 0 && v <= b.stretch:
		return stretched
	case v <= b.limit:
		return held
	}
	return missed
}

func (b bound) figure() string {
	figure := string(b.metric)
	if b.of != "" {
		figure = b.of + " " + figure
	}

	switch {
	case len(b.over) > 1:
		return fmt.Sprintf("%s × %s %s and %s", figure, b.pick, b.over[0], b.over[1])
	case len(b.over) == 1:
		return figure + " × " + b.over[0]
	}

	return figure
}
