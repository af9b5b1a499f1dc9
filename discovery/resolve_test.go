package discovery

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

func TestResolve_PrintsEveryTargetAndItsError(t *testing.T) {
	t.Parallel()
	dns, resolver := newDNSServer(t)
	dns.set("app.test.", "10.0.0.1", "169.254.0.1")
	m, opts, _ := metadataOf(t, server.Identity{ProjectNumber: "77", Region: "us-east1"})
	m.Set(listOf, "http://b?weight=0;dns://app.test.:81")
	opts.Resolver = resolver
	targets, problems := Parse([]string{
		":8081", "dns://app.test.:80", "dns://gone.test.:80", "run://api", "metadata://" + listOf,
		"metadata://project/attributes/none", "demo://2",
	})
	if problems != nil {
		t.Fatal(problems)
	}
	var out bytes.Buffer
	err := Resolve(t.Context(), auto(), targets, opts, &out)
	if err == nil || err.Error() != "2 of 7 targets could not be resolved" {
		t.Errorf("Resolve: %v", err)
	}
	for _, want := range []string{
		":8081\n  :8081  http://127.0.0.1:8081 or [::1]:8081\n",
		"dns://app.test.:80\n  10.0.0.1:80  http://10.0.0.1:80\n  refused: 169.254.0.1 is a link-local address\n",
		"dns://gone.test.:80\n  error: ",
		"run://api\n  api  https://api-77.us-east1.run.app:443  identity for https://api-77.us-east1.run.app\n",
		"metadata://" + listOf + "\n  10.0.0.1:81  http://10.0.0.1:81\n  b  http://b:80  weight 0\n",
		"metadata://project/attributes/none\n  error: project/attributes/none is not defined\n",
		"demo-2  http://127.0.0.1:(any)\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, &out)
		}
	}
}
