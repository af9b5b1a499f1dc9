package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/sethvargo/go-envconfig"
)

// Load reads the environment, given as os.Environ gives it ("NAME=value"). It returns every problem there is, not
// only the first; with problems the Config is incomplete and must not be run. A list of pairs and not a look-up
// function, because only a list can show a variable that is misspelt.
//
// Unsupported values of OTEL_* variables are no problems but Telemetry.Warnings. Beside the environment only files are
// read: those that variables name, and what the machine says of its maker and of its memory.
func Load(environ []string) (*Config, []Problem) {
	return load(environ, os.DirFS("/sys"))
}

func load(environ []string, sys fs.FS) (*Config, []Problem) {
	e, c := newEnvironment(environ), &Config{}
	e.memoryLimit = memoryLimit(sys)
	e.judge()
	e.decode(c)
	e.secretFiles(c)
	c.Service.Affinity.KeyName = e.keyName(c.Service.Name)
	c.Platform.ComputeEngine = computeEngine(sys, c.Platform)
	if _, given := e.given["GOMEMLIMIT"]; !given {
		c.Platform.MemoryLimit = e.memoryLimit
	}
	e.validate(c)
	e.strays()
	c.Telemetry.Warnings = e.warnings
	c.settings = e.settings(c)
	return c, e.problems
}

// decode fills the fields by their env tags. go-envconfig stops at its first error and names the Go field; here every
// value has passed its form already, so an error is a fault of the table. The last name asked for is where it is: it is
// told, hidden, and the rest decoded from the start.
func (e *environment) decode(c *Config) {
	for range len(e.table) {
		last, fresh := "", Config{}
		ask := envconfig.LookuperFunc(func(name string) (string, bool) {
			last = name
			return e.Lookup(name)
		})
		err := envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: &fresh, Lookuper: ask})
		if err == nil {
			*c = fresh
			return
		}
		e.problems = append(e.problems, e.rows[last].problem(e.given[last], errors.New("cannot be decoded")))
		delete(e.good, last)
	}
}

// secretFiles reads the files that LB_X_FILE variables name and puts them in the fields of LB_X.
func (e *environment) secretFiles(c *Config) {
	fields := secretFields(reflect.ValueOf(c).Elem())
	for _, v := range e.table {
		path, given := e.given[v.Name+"_FILE"]
		if !v.hasFile() || !given {
			continue
		}
		secret, err := e.secretFile(v, path)
		if err != nil {
			e.problems = append(e.problems, Problem{
				Variable: v.Name + "_FILE",
				Given:    shownPath(path),
				Reason:   fmt.Sprintf("%q %v", shownPath(path), err),
				Accepted: file().accepted + " and holds " + v.form.accepted,
				Example:  v.Name + "_FILE='/run/secrets/" + strings.ToLower(v.Name) + "'",
			})
			continue
		}
		fields[v.Name].Set(reflect.ValueOf(secret))
	}
}

func (e *environment) secretFile(v Variable, path string) (*Secret, error) {
	if _, both := e.given[v.Name]; both {
		return nil, fmt.Errorf("is given together with %s: one of the two is enough", v.Name)
	}
	return newFileSecret(path, func(value string) error {
		_, err := v.form.parse(value)
		return err
	})
}

// shownPath is a path as messages may show it. What is not absolute may be the secret itself, put in the wrong variable.
func shownPath(path string) string {
	if filepath.IsAbs(path) {
		return clip(path)
	}
	return mask
}

// secretFields finds the fields of type *Secret, by the name in their env tag.
func secretFields(v reflect.Value) map[string]reflect.Value {
	found := map[string]reflect.Value{}
	for i := range v.NumField() {
		field := v.Field(i)
		if field.Type() == reflect.TypeFor[*Secret]() && field.CanSet() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("env"), ",")
			found[name] = field
		} else if field.Kind() == reflect.Struct {
			for name, nested := range secretFields(field) {
				found[name] = nested
			}
		}
	}
	return found
}
