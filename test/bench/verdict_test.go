//go:build linux

package main

import "testing"

func TestBound_BetterAndWorse(t *testing.T) {
	t.Parallel()
	c := &caseResult{Name: "x", Entries: []*entryResult{
		{Name: "pillion", Values: map[metric]series{cpu: {22, 44, 22}}},
		{Name: "nginx", Values: map[metric]series{cpu: {20, 40, 20}}},
		{Name: "haproxy", Values: map[metric]series{cpu: {40, 80, 40}}},
	}}
	for _, tc := range []struct {
		pick   choice
		limit  float64
		median float64
		want   outcome
	}{
		{better, 1.2, 1.1, held},
		{better, 1.0, 1.1, missed},
		{worse, 1.0, 0.55, held},
	} {
		v := bound{name: "x", metric: cpu, over: both, pick: tc.pick, limit: tc.limit}.judge(c)
		if v.Outcome != tc.want || v.Quartiles.Median < tc.median-0.001 || v.Quartiles.Median > tc.median+0.001 {
			t.Errorf("%s: %+v", tc.pick, v)
		}
	}
}

func TestBound_WithoutItsRowsIsNotMeasured(t *testing.T) {
	t.Parallel()
	c := &caseResult{Name: "x", Entries: []*entryResult{
		{Name: "pillion", Values: map[metric]series{cpu: {1}}},
		{Name: "nginx", Values: map[metric]series{cpu: {1}}},
		{Name: "haproxy", Failure: "ended", Values: map[metric]series{cpu: {1}}},
	}}
	if v := (bound{metric: cpu, over: both, pick: worse, limit: 1}).judge(c); v.Outcome != unmeasured {
		t.Errorf("%+v", v)
	}

	if v := (bound{metric: calls, limit: 4.7}).judge(c); v.Outcome != unmeasured {
		t.Errorf("%+v", v)
	}
}

func TestBounds_NameCasesThatExist(t *testing.T) {
	t.Parallel()
	for _, b := range bounds() {
		if _, err := selectCases(b.name); err != nil {
			t.Error(err)
		}
	}
}

func TestBound_Stretch(t *testing.T) {
	t.Parallel()
	b := bound{limit: 1, stretch: 0.9}
	for v, want := range map[float64]outcome{0.9: stretched, 0.95: held, 1: held, 1.01: missed} {
		if got := b.outcome(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestBound_DividedByNothingIsNotMeasured(t *testing.T) {
	t.Parallel()
	c := &caseResult{Name: "x", Entries: []*entryResult{
		{Name: "pillion", Values: map[metric]series{userCPU: {1, 0}, cpu: {2, 2}}},
		{Name: "old", Values: map[metric]series{userCPU: {0, 0}, cpu: {1, 1}}},
	}, Columns: []metric{cpu, userCPU}}
	if v := (bound{metric: userCPU, over: []string{"old"}}).judge(c); v.Outcome != unmeasured {
		t.Errorf("%+v", v)
	}

	if v := compareWithOld(c); len(v) != 1 || v[0].Outcome != noted || v[0].Quartiles.Median != 2 {
		t.Errorf("%+v", v)
	}
}
