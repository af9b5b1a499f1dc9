package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Mirror is the service that gets copies of a route's requests. The zero value
// is none.
type Mirror struct {
	Service string // its name in small letters; "" for the unnamed one
	Share   int    // of the requests, in hundredths of a percent
	on      bool
}

// wholeShare is the Share of all requests.
const wholeShare = 10_000

// Given reports whether there is a mirror.
func (m Mirror) Given() bool { return m.on }

// All reports whether every request is copied.
func (m Mirror) All() bool { return m.Share == wholeShare }

// String returns the mirror as a user would write it.
func (m Mirror) String() string {
	if m.All() {
		return title(m.Service)
	}

	return title(m.Service) + "?share=" + strconv.FormatFloat(float64(m.Share)/100, 'f', -1, 64) + "%"
}

// EnvDecode reads the name of a service, with or without a share; "" is none.
func (m *Mirror) EnvDecode(given string) error {
	*m = Mirror{}
	if given == "" {
		return nil
	}

	if len(split(given)) > 1 {
		return errors.New("names several services: a route has one mirror")
	}

	name, condition, hasShare := strings.Cut(given, "?")
	name, err := nameForm().parse(name)
	if err != nil {
		return err
	}

	read := Mirror{Service: name, Share: wholeShare, on: true}
	if hasShare {
		if read.Share, err = hundredths(condition); err != nil {
			return err
		}
	}
	*m = read

	return nil
}

// hundredths reads "share=10%" in hundredths of a percent.
func hundredths(condition string) (int, error) {
	share, found := strings.CutPrefix(condition, "share=")
	number, percent := strings.CutSuffix(share, "%")
	if !found || !percent {
		return 0, fmt.Errorf("has %q behind the service: write share=10%%", clip(condition))
	}

	whole, fraction, pointed := strings.Cut(number, ".")
	n, isNumber := digits(whole)
	f, isFraction := digits((fraction + "00")[:2])
	switch {
	case !isNumber || n > 100 || !isFraction || pointed && len(fraction) != 1 && len(fraction) != 2:
		return 0, fmt.Errorf("has the share %q, which is not from 0%% to 100%% in steps of 0.01%%",
			clip(share))
	case n*100+f > wholeShare:
		return 0, fmt.Errorf("has the share %q, which is more than 100%%", clip(share))
	}

	return n*100 + f, nil
}

// mirrorForm is the form of LB_MIRROR.
func mirrorForm() form {
	return orNone(form{"the name of a service, with or without ?share=10%",
		func(given string) (string, error) {
			return given, new(Mirror).EnvDecode(given)
		}}, "")
}

// validateMirror requires the mirror of a route to be another service than its
// own.
func (e *environment) validateMirror(c *Config) {
	text, given := e.good[e.full("LB_MIRROR")]
	var m Mirror
	if !given || m.EnvDecode(text) != nil || !m.Given() {
		return
	}

	switch r := c.routeNamed(strings.ToLower(e.name)); {
	case c.ServiceNamed(m.Service) == nil:
		e.fault("LB_MIRROR", fmt.Sprintf("%q is no service; the nearest is %s",
			title(m.Service), nearest(m.Service, serviceTitles(c))))
	case r == nil:
	case r.Answers():
		e.fault("LB_MIRROR", "has no request to copy: the route answers by itself")
	case r.Service == m.Service:
		e.fault("LB_MIRROR", "names the service that answers: it would get every request twice")
	}
}

func (c *Config) routeNamed(name string) *Route {
	for i := range c.Routes {
		if c.Routes[i].Name == name {
			return &c.Routes[i]
		}
	}

	return nil
}
