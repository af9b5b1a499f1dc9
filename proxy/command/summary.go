package command

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/terminal"
)

// label is the width of the labels of a summary, in columns.
const label = 14

// mostTargets bounds how many targets of a service a summary names.
const mostTargets = 8

// summary returns what an environment means, as a list of labels with their
// texts.
func summary(cfg *config.Config, targets discovery.Targets) []entry {
	t := &cfg.Telemetry
	lines := []entry{{"listens on", listensOn(cfg)}}
	for i := range cfg.Services {
		lines = append(lines, ofService(cfg, &cfg.Services[i], targets[i])...)
	}
	if n := len(cfg.Routes); n > 1 {
		lines = append(lines, entry{"routes", fmt.Sprintf("%d; \"pillion routes\" prints them", n)})
	}

	return append(lines,
		entry{"trusts", trusts(cfg)},
		entry{"status page", statusPage(cfg)},
		entry{"traces", exports(t.Traces(), t.TracesExporter, t.TracesReceiver)},
		entry{"metrics", exports(t.Metrics(), t.MetricsExporter, t.MetricsReceiver)},
		entry{"access log", string(cfg.Process.AccessLog)},
	)
}

// writeSummary writes the lines, folded to a width.
func writeSummary(w io.Writer, lines []entry, width int) {
	for _, l := range lines {
		line := fmt.Sprintf("  %-*s %s", label, l.text, l.means)
		fmt.Fprintln(w, terminal.Fold(strings.TrimRight(line, " "), width, label+3))
	}
}

func listensOn(cfg *config.Config) string {
	p := &cfg.Process
	speaks := "HTTP/1.1 and h2c"
	if p.Certificate != nil {
		speaks = "HTTPS with " + p.TLSCertFile
		if p.ClientRoots != nil {
			speaks += ", for clients with a certificate"
		}
	}

	return fmt.Sprintf("%s, %s, as %s", p.Listen, speaks, p.Role)
}

// ofService returns where a service's backends come from and how they are used.
func ofService(cfg *config.Config, s *config.Service, targets []discovery.Target) []entry {
	var items []string
	for _, t := range targets {
		items = append(items, t.Item)
	}
	if len(items) == 0 {
		items = []string{"the attribute lb-backends of the instance, else of the project"}
	}
	more := len(items) - mostTargets
	if more > 0 {
		items = append(items[:mostTargets], fmt.Sprintf("and %d more", more))
	}

	name := "backends"
	if cfg.NamesServices() {
		name = s.Title()
	}

	return []entry{{name, strings.Join(items, "  ")}, {"", strings.Join(usedHow(s), ", ")}}
}

// usedHow returns how a service's backends are chosen and checked.
func usedHow(s *config.Service) []string {
	how := []string{string(s.Policy)}
	if s.Affinity.Cookie {
		sessions := "sessions by the cookie " + s.Affinity.CookieName
		if s.Affinity.Secret == nil {
			sessions += " with a constant key (LB_AFFINITY_SECRET)"
		}
		how = append(how, sessions)
	}

	check := "no health check"
	if s.Health.Check.Kind() != config.NoCheck {
		check = fmt.Sprintf("health check %s every %s", s.Health.Check, s.Health.Interval)
	}
	how = append(how, check)
	if s.MaxInFlight > 0 {
		how = append(how, fmt.Sprintf("at most %d requests at a time each", s.MaxInFlight))
	}

	return how
}

func trusts(cfg *config.Config) string {
	t := cfg.Process.TrustedProxies.Setting
	if t == "none" || t == "" {
		return "no forwarding fields of any peer (LB_TRUSTED_PROXIES)"
	}

	return "forwarding fields by " + t
}

func statusPage(cfg *config.Config) string {
	switch {
	case cfg.Process.StatusPath == "":
		return "off: LB_STATUS_PATH is none"
	case cfg.Process.StatusToken == nil:
		return "off: LB_STATUS_TOKEN is not set"
	}

	return cfg.Process.StatusPath
}

func exports(on bool, exporter config.Exporter, to config.Receiver) string {
	switch {
	case !on:
		return "off"
	case exporter == config.ExportConsole:
		return "this output"
	case exporter == config.ExportPrometheus:
		return "for Prometheus, below the status page"
	}

	return "OTLP to " + cmp.Or(to.Endpoint, "the default endpoint")
}

// Greeting returns the first lines that a start in a terminal prints: the
// version, the address, and a summary of the environment. page is the URL of
// the status page, or the reason why it is off.
func Greeting(cfg *config.Config, targets discovery.Targets, version, address, page string,
	screen *terminal.Screen) string {
	lines := slices.DeleteFunc(summary(cfg, targets), func(e entry) bool {
		return e.text == "listens on" || e.text == "access log" || e.means == "off"
	})
	for i := range lines {
		if lines[i].text == "status page" {
			lines[i].means = page
		}
	}

	var b strings.Builder
	b.Write(screen.Append(nil, terminal.Green, "Pillion"))
	fmt.Fprintf(&b, " %s  %s\n", version, address)
	writeSummary(&b, lines, screen.Width())
	b.WriteString("\n")

	return b.String()
}
