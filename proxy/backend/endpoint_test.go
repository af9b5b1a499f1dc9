package backend

import (
	"reflect"
	"testing"

	"github.com/pillion-lb/pillion/discovery"
)

// TestEndpoint_EveryFieldOfABackendIsDecidedOn fails when discovery.Backend
// gets a field, until somebody has decided whether a change of it makes another
// server.
func TestEndpoint_EveryFieldOfABackendIsDecidedOn(t *testing.T) {
	t.Parallel()

	stays := map[string]bool{"Weight": true, "Priority": true, "Source": true}
	other := map[string]bool{
		"Name": true, "Address": true, "Fallback": true, "Host": true, "SetHost": true,
		"TLS": true, "Protocol": true, "Run": true, "Audience": true, "Guarded": true,
	}

	typ := reflect.TypeFor[discovery.Backend]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if stays[name] == other[name] {
			t.Errorf("sameServer and this test say nothing of %s", name)
			continue
		}

		var a, b discovery.Backend
		switch v := reflect.ValueOf(&b).Elem().Field(i); v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		default:
			v.SetInt(1)
		}

		if got := sameServer(a, b); got != stays[name] {
			t.Errorf("a change of %s keeps the endpoint: %v", name, got)
		}
	}
}
