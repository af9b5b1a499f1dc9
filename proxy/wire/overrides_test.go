package wire

import "testing"

func TestOverrideOf_KnowsEverySpelling(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Override{
		"X-Original-Url": OverridesPath, "X_original_url": OverridesPath, "X.Rewrite.Url": OverridesPath,
		"X-Http-Method-Override": OverridesMethod, "X-Http_method": OverridesMethod, "X-Http-Method": OverridesMethod,
		"X-Original-Host": NoOverride, "X-Request-Id": NoOverride, "Original-Url": NoOverride, "": NoOverride,
	} {
		if got := OverrideOf(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}
