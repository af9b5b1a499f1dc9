package wire

// Override is the part of the request line that some frameworks replace by the
// value of a field.
type Override uint8

// The overrides.
const (
	NoOverride Override = iota
	OverridesMethod
	OverridesPath
)

var overriding = [...]struct {
	name string
	what Override
}{
	{"x-http-method-override", OverridesMethod},
	{"x-http-method", OverridesMethod},
	{"x-method-override", OverridesMethod},
	{"x-original-url", OverridesPath},
	{"x-rewrite-url", OverridesPath},
	{"x-original-uri", OverridesPath},
	{"x-http-destinationurl", OverridesPath},
	{"x-forwarded-path", OverridesPath},
}

// OverrideOf returns what a field overrides. Servers that make variables of
// field names (RFC 3875 section 4.1.18) cannot tell "_" and "." from "-".
func OverrideOf(name string) Override {
	if len(name) < len("x-http-method") || name[0]|0x20 != 'x' {
		return NoOverride
	}
	for i := range overriding {
		if SameVariable(overriding[i].name, name) {
			return overriding[i].what
		}
	}

	return NoOverride
}
