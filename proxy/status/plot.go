package status

import (
	"fmt"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/history"
)

// series is the data of a plot: a value for each ten seconds, the oldest first.
type series struct {
	title  string
	values []float64
	format func(float64) string
	least  float64 // the scale ends at this value or above
}

// seriesOf returns the data of the page's four plots. The newest value covers
// only the part of its ten seconds that has passed.
func seriesOf(p *history.Plot, now time.Time) []series {
	requests := series{title: "Requests per second", format: rate, least: 1}
	errors := series{title: "Errors", format: percent, least: 0.01}
	slow := series{title: "p95", format: seconds, least: 0.001}
	flying := series{title: "In flight", format: count, least: 1}
	for i := range history.Slots {
		per := history.Slot.Seconds()
		if i == history.Slots-1 {
			per = max(1, now.Sub(now.Truncate(history.Slot)).Seconds())
		}
		n, failed := float64(p.Requests[i]), float64(p.Failures[i])
		requests.values = append(requests.values, n/per)
		errors.values = append(errors.values, min(1, failed/max(1, n)))
		slow.values = append(slow.values, p.P95[i])
		flying.values = append(flying.values, float64(p.InFlight[i]))
	}

	return []series{requests, errors, slow, flying}
}

// top returns the value at the upper end of the scale.
func (s series) top() float64 {
	top := 0.0
	for _, v := range s.values {
		top = max(top, v)
	}

	return top
}

// The size of a plot in units of its viewBox.
const plotWidth, plotHeight = 240, 60

// points returns the values as the points of an SVG polyline.
func (s series) points() string {
	top := max(s.top(), s.least)
	var b strings.Builder
	for i, v := range s.values {
		x := float64(i) * plotWidth / float64(len(s.values)-1)
		fmt.Fprintf(&b, "%.1f,%.1f ", x, plotHeight-v/top*(plotHeight-2)-1)
	}

	return strings.TrimSuffix(b.String(), " ")
}

// spark writes the values as a small line without a scale. It is hidden from
// screen readers, because the number beside it says the same.
func (w *writer) spark(s series, class markup) {
	w.put(`<svg class="{}" viewBox="0 0 240 60" preserveAspectRatio="none" aria-hidden="true" `+
		`focusable="false"><polyline points="{}"/></svg>`,
		class, s.points())
}

// plot writes the values with a scale, and a text with the same numbers for
// screen readers.
func (w *writer) plot(s series, now time.Time) {
	w.put(`<figure><figcaption>{}</figcaption>`+
		`<svg class="plot" viewBox="0 0 240 60" preserveAspectRatio="none" role="img" aria-label="{}">`,
		s.title, fmt.Sprintf("%s in the last ten minutes: %s now, %s at most",
			s.title, s.format(s.values[len(s.values)-1]), s.format(s.top())))
	w.put(`<path d="M0 1H240M0 30H240M0 59H240"/><polygon points="0,60 {} 240,60"/>`+
		`<polyline points="{}"/></svg>`,
		s.points(), s.points())
	w.put(`<p class="scale"><span>{}</span><span>top {}</span><span>{}</span></p></figure>`,
		now.Add(-(history.Slots-1)*history.Slot).UTC().Format("15:04"), s.format(max(s.top(), s.least)),
		now.UTC().Format("15:04"))
}
