package status

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// schemaOf describes a type as encoding/json writes it, in JSON Schema.
func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem())
	}

	switch t.Kind() {
	case reflect.Struct:
		properties, required := map[string]any{}, []any{}
		addFields(t, properties, &required)
		return map[string]any{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	default:
		return map[string]any{"type": "integer"}
	}
}

func addFields(t reflect.Type, properties map[string]any, required *[]any) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			addFields(f.Type, properties, required)
		default:
			of := schemaOf(f.Type)
			if f.Type.Kind() == reflect.Pointer && !strings.Contains(options, "omit") {
				of["type"] = []any{of["type"], "null"}
			}
			properties[name] = of
			if !strings.Contains(options, "omit") {
				*required = append(*required, name)
			}
		}
	}
}

// deploy/state.schema.json is what readers of state.json rely on. If this fails
// after a change that is meant, write what it wants there.
func TestState_IsWhatItsSchemaSays(t *testing.T) {
	t.Parallel()
	schema := schemaOf(reflect.TypeFor[State]())
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "Pillion's state.json"
	schema["description"] = "What GET /.lb/state.json answers with the token of LB_STATUS_TOKEN. Plots have a value " +
		"for each ten seconds of the last ten minutes, the oldest first."
	want, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}

	const file = "../../deploy/state.schema.json"
	got, err := os.ReadFile(file)
	if err != nil || string(got) != string(want)+"\n" {
		t.Errorf("%s (%v) is not\n%s", file, err, want)
	}
}
