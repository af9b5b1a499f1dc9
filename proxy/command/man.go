package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// man prints the manual page, in the macros of man(7).
func man(_ context.Context, c *Call) int {
	if len(c.Args) > 0 {
		return c.misused("man does not know %q", c.Args[0])
	}

	p := &page{}
	p.head(c.Version)
	p.commands()
	p.environment()
	p.section("EXIT STATUS")
	for _, e := range exits() {
		p.item(e.text, e.means+".")
	}
	p.section("SEE ALSO")
	p.text("pillion explain, for the values that count now; pillion help, for the commands.")
	fmt.Fprint(c.Stdout, p.b.String())

	return OK
}

// page builds the text of a manual page.
type page struct{ b strings.Builder }

func (p *page) head(version string) {
	fmt.Fprintf(&p.b, ".TH PILLION 1 \"\" \"pillion %s\" \"User Commands\"\n", roff(version))
	p.b.WriteString(".ad l\n.nh\n")
	p.section("NAME")
	p.text("pillion - a load balancer in one small container")
	p.section("SYNOPSIS")
	p.b.WriteString(".B pillion\n.RI [ command \" \" [ argument ...]]\n")
	p.section("DESCRIPTION")
	for paragraph := range strings.SplitSeq(strings.TrimSpace(about), "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			p.b.WriteString(".nf\n" + roff(paragraph) + "\n.fi\n")
			continue
		}
		p.text(paragraph)
	}
}

func (p *page) commands() {
	p.section("COMMANDS")
	for _, c := range commands() {
		for _, u := range c.uses {
			p.item(strings.TrimSpace("pillion "+u.text), u.means+".")
		}
	}
}

// environment writes the table of variables, section by section.
func (p *page) environment() {
	p.section("ENVIRONMENT")
	section := ""
	for _, v := range config.Variables() {
		if v.Section != section {
			section = v.Section
			fmt.Fprintf(&p.b, ".SS %s\n", roff(section))
		}
		p.item(v.Name, fmt.Sprintf("%s Accepted: %s. Default: %s.", v.Sentence, v.Accepted(),
			v.DefaultText()))
	}
}

func (p *page) section(name string) { fmt.Fprintf(&p.b, ".SH %s\n", name) }

func (p *page) text(text string) { fmt.Fprintf(&p.b, ".PP\n%s\n", roff(text)) }

func (p *page) item(name, text string) {
	fmt.Fprintf(&p.b, ".TP\n.B %s\n%s\n", roff(name), roff(text))
}

// roff escapes a text, so that no part of it is read as a request or an escape
// sequence (groff(7), "Escapes").
func roff(text string) string {
	text = strings.NewReplacer(
		`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`,
	).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}

	var b strings.Builder
	for _, r := range strings.Join(lines, "\n") {
		if r > '~' {
			fmt.Fprintf(&b, `\[u%04X]`, r)
			continue
		}
		b.WriteRune(r)
	}

	return b.String()
}
