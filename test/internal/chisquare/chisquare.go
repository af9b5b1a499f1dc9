// Package chisquare implements Pearson's chi-square test: the probability of a
// deviation at least as large as the observed one, if the expected distribution
// is true.
package chisquare

import "math"

// P returns the p-value of observed counts for weights, which need not sum to
// one. Both have the same length of at least two. The degrees of freedom are
// one less.
func P(observed []int, weights []float64) float64 {
	total, weight := 0, 0.0
	for i := range observed {
		total += observed[i]
		weight += weights[i]
	}

	statistic := 0.0
	for i, n := range observed {
		expected := float64(total) * weights[i] / weight
		statistic += (float64(n) - expected) * (float64(n) - expected) / expected
	}

	return Survival(statistic, len(observed)-1)
}

// Survival returns the probability that a chi-square variable with the given
// degrees of freedom exceeds x.
func Survival(x float64, degrees int) float64 {
	return upperGamma(float64(degrees)/2, x/2)
}

// upperGamma returns the regularised upper incomplete gamma function Q(a, x).
// It uses the series below a+1 and the continued fraction above, where each
// converges quickly (Abramowitz and Stegun 6.5.29 and 6.5.31).
func upperGamma(a, x float64) float64 {
	if x <= 0 {
		return 1
	}

	logGamma, _ := math.Lgamma(a)
	front := math.Exp(a*math.Log(x) - x - logGamma)
	if x < a+1 {
		return 1 - front*lowerSeries(a, x)
	}

	return front * upperFraction(a, x)
}

// lowerSeries returns the sum of x^n / (a (a+1) … (a+n)).
func lowerSeries(a, x float64) float64 {
	term := 1 / a
	sum := term
	for n := a + 1; math.Abs(term) > math.Abs(sum)*1e-16; n++ {
		term *= x / n
		sum += term
	}

	return sum
}

// upperFraction returns 1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- …))), from the
// inner end. Two hundred terms are enough for any x above a+1.
func upperFraction(a, x float64) float64 {
	inner := 0.0
	for n := 200.0; n > 0; n-- {
		inner = n * (n - a) / (x + 2*n + 1 - a - inner)
	}
	return 1 / (x + 1 - a - inner)
}
