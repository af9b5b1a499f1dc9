package proxy

import (
	"path/filepath"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

// A file that is gone when it is first needed must not widen whom we trust to the system's roots, which nil stands for.
func TestTrustStore_WithoutItsFileNobodyIsTrusted(t *testing.T) {
	t.Parallel()
	gone := newTrustStore(config.Service{CAFile: filepath.Join(t.TempDir(), "gone.pem")})
	if gone.config("a", "h2")().RootCAs == nil {
		t.Error("the system's roots are trusted")
	}
	if newTrustStore(config.Service{}).config("a", "h2")().RootCAs != nil {
		t.Error("the system's roots are not trusted where no file is named")
	}
}
