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

// Load reads the environment, in the form of os.Environ ("NAME=value"). It
// returns all problems, not only the first. If there are any, the Config is
// incomplete and must not be used. It takes a list and not a look-up function,
// because only a list shows misspelt variables.
//
// Unsupported values of OTEL_* variables are not problems but
// Telemetry.Warnings. Load also reads the files that variables name, the
// machine's product name and memory limit, and the process's limit of
// descriptors.
func Load(environ []string) (*Config, []Problem) {
	return load(environ, os.DirFS("/sys"), descriptors())
}

func load(environ []string, sys fs.FS, descriptors int) (*Config, []Problem) {
	e, c := newEnvironment(environ), &Config{}
	e.memoryLimit, e.descriptors = memoryLimit(sys), descriptors
	e.judge()
	e.schemes()
	*c = decoded[Config](e)
	e.secretFiles(c)
	c.Platform.ComputeEngine = computeEngine(sys, c.Platform)
	if _, given := e.given["GOMEMLIMIT"]; !given {
		c.Platform.MemoryLimit = e.memoryLimit
	}

	c.Platform.Descriptors, c.Platform.KubernetesAPI = e.descriptors, e.kubernetesAPI()
	c.Platform.PlainText = e.given["NO_COLOR"] != "" || e.given["TERM"] == "dumb"
	c.Process.Certificate = e.pair("LB_TLS_CERT_FILE", "LB_TLS_KEY_FILE")
	c.Process.ClientRoots = followOne(e, "LB_TLS_CLIENT_CA_FILE", FollowRoots)
	e.follow(&c.Service)
	e.services(c)
	c.shareMemory(e.effectiveLimit())
	e.validate(c)
	e.validateRoutes(c)
	e.strays()
	c.Telemetry.Warnings = e.warnings
	c.settings, c.scoped, c.noEffect = e.settings(c), e.scopedSettings(), e.idle(c)
	c.files = e.files
	Sort(e.problems)

	return c, e.problems
}

// shareMemory divides the memory limit: what the cache, encoders and gates may
// take is reserved, and the rest is the budget of clients. 0 is no limit.
func (c *Config) shareMemory(limit int64) {
	c.Platform.Encoders = c.encoders(limit)
	c.Platform.LimitPlaces = c.limitPlaces(limit)
	if limit <= 0 {
		return
	}

	encoders := int64(c.Platform.Encoders) * EncoderMemory
	c.Platform.MemoryReserved = c.cacheMemory() + encoders + c.gateMemory()
	c.Platform.MemoryBudget = memoryBudget(limit - c.Platform.MemoryReserved)
}

// decoded fills the fields by their env tags. Every value has passed its form
// before, so an error is a fault of the table. go-envconfig stops at its first
// error and names the Go field, so the variable is the last one that it looked
// up. That is reported and left out, and decoding starts again.
func decoded[T any](e *environment) (fresh T) {
	for range len(e.table) {
		var last string
		fresh = *new(T)
		ask := envconfig.LookuperFunc(func(name string) (string, bool) {
			last = name
			return e.Lookup(name)
		})

		err := envconfig.ProcessWith(context.Background(),
			&envconfig.Config{Target: &fresh, Lookuper: ask})
		if err == nil {
			return fresh
		}

		v := e.rows[last].named(e.name)
		if _, given := e.good[v.Name]; !given {
			v = e.rows[last]
		}

		e.problems = append(e.problems, v.problem(e.given[v.Name], errors.New("cannot be decoded")))
		delete(e.good, v.Name)
	}

	return fresh
}

// secretFiles reads the files of LB_X_FILE variables into the fields of LB_X.
func (e *environment) secretFiles(target any) {
	fields := secretFields(reflect.ValueOf(target).Elem())
	for base, field := range fields {
		v := e.rows[base].named(e.name)
		path, given := e.given[v.fileName()]
		if !v.hasFile() || !given {
			continue
		}

		secret, err := e.secretFile(v, path)
		if err != nil {
			e.problems = append(e.problems, Problem{
				Variable: v.fileName(),
				Given:    shownPath(path),
				Reason:   fmt.Sprintf("%q %v", shownPath(path), err),
				Accepted: file().accepted + " and holds " + v.form.accepted,
				Example:  v.fileName() + "='/run/secrets/" + strings.ToLower(v.Name) + "'",
			})

			continue
		}

		field.Set(reflect.ValueOf(secret))
	}
}

func (e *environment) secretFile(v Variable, path string) (*Secret, error) {
	if _, both := e.given[v.Name]; both {
		return nil, fmt.Errorf("is given together with %s: one of the two is enough", v.Name)
	}

	secret, err := newFileSecret(v.fileName(), path, func(value string) error {
		_, err := v.form.parse(value)
		return err
	})

	if err == nil {
		e.files = append(e.files, secret.file)
	}

	return secret, err
}

// shownPath returns a path for messages. A text that is not an absolute path is
// masked, because it may be the secret itself in the wrong variable.
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
