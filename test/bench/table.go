//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// printCase writes one table in Markdown: medians over all rounds, each with
// its ratio to nginx; for the CPU also the quartiles of that ratio.
func printCase(w io.Writer, c *caseResult) {
	fmt.Fprintf(w, "\n### %s: %s\n\n", c.Name, c.Title)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	base := c.entry("nginx")
	head, rule := []string{"proxy"}, []string{"---"}
	for _, m := range c.Columns {
		head = append(head, string(m))
		rule = append(rule, "---")
	}

	cost := costColumn(c)
	if base != nil && cost != "" {
		head = append(head, "CPU × nginx, quartiles")
		rule = append(rule, "---")
	}

	printRow(t, head)
	printRow(t, rule)
	for _, e := range c.Entries {
		printRow(t, row(c, e, base))
	}

	_ = t.Flush()
	for _, e := range c.Entries {
		if e.Failure != "" {
			fmt.Fprintf(w, "\n%s FAILED: %s\n", e.Name, e.Failure)
		}
	}
}

// costColumn is the metric whose ratios are shown with quartiles; empty: none.
func costColumn(c *caseResult) metric {
	for _, m := range c.Columns {
		if m == cpu || m == flowCPU {
			return m
		}
	}
	return ""
}

func row(c *caseResult, e, base *entryResult) []string {
	cells := []string{e.Name}
	for _, m := range c.Columns {
		cells = append(cells, cell(m, e, base))
	}

	cost := costColumn(c)
	if base != nil && cost != "" && e.Failure != "" {
		cells = append(cells, "-")
	} else if base != nil && cost != "" {
		q := e.Values[cost].over(base.Values[cost]).quartiles()
		cells = append(cells, fmt.Sprintf("%.2f - %.2f", q.Q1, q.Q3))
	}

	return cells
}

// cell returns the median of a metric and, in parentheses, the median of its
// ratios to nginx's.
func cell(m metric, e, base *entryResult) string {
	v := e.Values[m]
	if e.Failure != "" || len(v) == 0 {
		return "-"
	}

	text := number(v.median())
	if base != nil && len(base.Values[m]) > 0 {
		text += fmt.Sprintf(" (%.2f)", v.over(base.Values[m]).median())
	}

	return text
}

// number formats a value with three or four significant digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func printRow(w io.Writer, cells []string) {
	fmt.Fprintf(w, "| %s\t|\n", strings.Join(cells, "\t| "))
}

// printVerdicts writes the promised bounds and the measured values.
func printVerdicts(w io.Writer, verdicts []verdict) {
	fmt.Fprintf(w, "\n### verdicts\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	printRow(t, []string{"case", "figure", "measured", "quartiles", "bound", "outcome"})
	printRow(t, []string{"---", "---", "---", "---", "---", "---"})

	for _, v := range verdicts {
		limit := fmt.Sprintf("%.2f", v.Bound)
		if v.Bound == 0 {
			limit = "none"
		}
		if v.Stretch > 0 {
			limit += fmt.Sprintf(" (stretch %.2f)", v.Stretch)
		}

		median, spread := "-", "-"
		if v.Outcome != unmeasured {
			median = fmt.Sprintf("%.2f", v.Quartiles.Median)
			spread = fmt.Sprintf("%.2f - %.2f", v.Quartiles.Q1, v.Quartiles.Q3)
		}

		printRow(t, []string{v.Case, v.Figure, median, spread, limit, string(v.Outcome)})
	}

	_ = t.Flush()
}
