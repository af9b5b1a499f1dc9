//go:build linux

package main

import (
	"math"
	"slices"
)

// series holds one value per round.
type series []float64

// quartiles describe a series. They are interpolated linearly between the
// sorted values.
type quartiles struct {
	Q1, Median, Q3 float64
}

func (s series) quartiles() quartiles {
	sorted := slices.Clone(s)
	slices.Sort(sorted)
	return quartiles{Q1: at(sorted, 0.25), Median: at(sorted, 0.5), Q3: at(sorted, 0.75)}
}

func (s series) median() float64 { return s.quartiles().Median }

// at is the value at share q of a sorted series; NaN of an empty one.
func at(sorted series, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}

	pos := q * float64(len(sorted)-1)
	i := int(pos)
	if i+1 >= len(sorted) {
		return sorted[i]
	}

	return sorted[i] + (pos-float64(i))*(sorted[i+1]-sorted[i])
}

// over divides round by round, so that what disturbs the machine for longer
// than a round disturbs both sides of the division.
func (s series) over(base series) series {
	var r series
	for i := range min(len(s), len(base)) {
		r = append(r, s[i]/base[i])
	}
	return r
}
