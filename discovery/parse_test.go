package discovery

import (
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

func parseOne(t *testing.T, item string) Target {
	t.Helper()
	targets, problems := Parse([]string{item})
	if len(problems) > 0 {
		t.Fatalf("Parse(%q): %v", item, problems)
	}
	if len(targets) != 1 {
		t.Fatalf("Parse(%q) = %d targets", item, len(targets))
	}
	return targets[0]
}

func TestParse_FixedTargets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		item string
		want Backend
	}{
		{":8081", Backend{Name: ":8081", Address: "127.0.0.1:8081", Fallback: "[::1]:8081", Host: "localhost:8081"}},
		{"app:8080", Backend{Name: "app:8080", Address: "app:8080", Host: "app:8080"}},
		{"[::1]:8080", Backend{Name: "[::1]:8080", Address: "[::1]:8080", Host: "[::1]:8080"}},
		{"http://10.0.0.7", Backend{Name: "10.0.0.7", Address: "10.0.0.7:80", Host: "10.0.0.7"}},
		{"http://my_app:80", Backend{Name: "my_app:80", Address: "my_app:80", Host: "my_app"}},
		{"https://a.example", Backend{Name: "a.example", Address: "a.example:443", Host: "a.example", TLS: true}},
		{"https://a.example:80", Backend{Name: "a.example:80", Address: "a.example:80", Host: "a.example:80", TLS: true}},
		{"h2://a.example", Backend{Name: "a.example", Address: "a.example:443", Host: "a.example", TLS: true,
			Protocol: config.H2}},
		{"h2c://a.example", Backend{Name: "a.example", Address: "a.example:80", Host: "a.example", Protocol: config.H2C}},
		{"http://169.254.1.1:80", Backend{Name: "169.254.1.1:80", Address: "169.254.1.1:80", Host: "169.254.1.1"}},
		{"http://a?name=blue&weight=3&host=b.example:81",
			Backend{Name: "blue", Address: "a:80", Host: "a", SetHost: "b.example:81", Weight: 3}},
		{":1?weight=0", Backend{Name: ":1", Address: "127.0.0.1:1", Fallback: "[::1]:1", Host: "localhost:1", Weight: -1}},
	}
	for _, test := range tests {
		got := parseOne(t, test.item)
		want := test.want
		want.Source = test.item
		switch want.Weight {
		case 0:
			want.Weight = 1
		case -1:
			want.Weight = 0
		}
		if want.Protocol == "" {
			want.Protocol = config.Auto
		}
		if got.Kind != Fixed || got.Template != want || !got.Written {
			t.Errorf("Parse(%q)\n got %+v\nwant %+v", test.item, got.Template, want)
		}
	}
}

func TestParse_OtherKinds(t *testing.T) {
	t.Parallel()
	type fields struct {
		kind                                            Kind
		host, port, service, region, project, tag, path string
		count                                           int
		name                                            string
	}
	tests := map[string]fields{
		"dns://app:8080":               {kind: DNS, host: "app", port: "8080"},
		"dns://app.example.":           {kind: DNS, host: "app.example.", port: "80"},
		"dns://app?protocol=https":     {kind: DNS, host: "app", port: "443"},
		"srv://_http._tcp.app.example": {kind: SRV, host: "_http._tcp.app.example"},
		"run://api":                    {kind: Run, service: "api", name: "api"},
		"run://api.europe-west1": {kind: Run, service: "api", region: "europe-west1",
			name: "api.europe-west1"},
		"run://api.europe-west1.123456": {kind: Run, service: "api", region: "europe-west1", project: "123456",
			name: "api.europe-west1.123456"},
		"run://api?tag=canary":                         {kind: Run, service: "api", tag: "canary", name: "canary---api"},
		"run://api?tag=canary&name=c&weight=2":         {kind: Run, service: "api", tag: "canary", name: "c"},
		"metadata://instance/attributes/lb_backends-2": {kind: Attribute, path: "instance/attributes/lb_backends-2"},
		"metadata://project/attributes/x":              {kind: Attribute, path: "project/attributes/x"},
		"demo://64":                                    {kind: Demo, count: 64},
	}
	for item, want := range tests {
		got := parseOne(t, item)
		have := fields{got.Kind, got.Host, got.Port, got.Service, got.Region, got.Project, got.Tag, got.Path, got.Count,
			got.Template.Name}
		if have != want {
			t.Errorf("Parse(%q)\n got %+v\nwant %+v", item, have, want)
		}
	}
}

func TestParse_BadItemsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"ftp://x":  `"ftp" is not known`,
		"HTTP://x": "lower case",
		"://x":     "needs", // read as an item without a scheme
		"http://":  "names no host",
		"":         "names no host",
		"http://a/path": `a path is refused, even a final slash: requests keep their own path; leave ` +
			`out "/path"`,
		"http://a/":                         "path is refused",
		`http://a\b`:                        "path is refused",
		"http://u:p@a":                      "user info",
		"http://a#x":                        "fragment",
		"http://a:0":                        `port "0"`,
		"http://a:65536":                    `port "65536"`,
		"http://a:080":                      `port "080"`,
		"http://a:":                         `port ""`,
		"http://a:+80":                      `port "+80"`,
		"http://a:8 0":                      "blank",
		"a":                                 `"a:8080"`,
		"8080":                              `":8080"`,
		"a:b:c":                             "brackets",
		"::1":                               "brackets",
		"http://[::1":                       "brackets",
		"http://[::1]8080":                  "brackets",
		"http://[fe80::1%eth0]:80":          "percent",
		"http://[::ffff:10.0.0.1]:80":       "write it as IPv4",
		"http://[0:0::1]:80":                "write [::1]",
		"http://[10.0.0.1]:80":              "not an IPv6",
		"http://[::]:80":                    "unspecified",
		"http://0.0.0.0:80":                 "unspecified",
		"http://224.0.0.1:80":               "multicast",
		"http://255.255.255.255":            "broadcast",
		"http://010.0.0.1":                  "IPv4",
		"http://1.2.3":                      "IPv4",
		"http://2130706433":                 "IPv4",
		"http://0x7f000001":                 "IPv4",
		"http://256.1.1.1":                  "IPv4",
		"http://App":                        "lower case",
		"http://bücher.example":             "xn--",
		"http://a\x00b":                     "control",
		"http://a\r\nX: y":                  "control",
		"http://a..b":                       "empty label",
		"http://a.":                         "empty label",
		"http://-a":                         "hyphen",
		"http://a-.b":                       "hyphen",
		"http://" + strings.Repeat("a", 64): "63",
		"http://" + strings.Repeat("a.", 140) + "b": "253",
		"http://a*b":                               "character",
		"http://a%2Fb":                             "percent",
		"http://a%3Bb":                             "character",
		"http://a?weight=257":                      `weight "257"`,
		"http://a?weight=-1":                       `weight "-1"`,
		"http://a?weight=1.5":                      `weight "1.5"`,
		"http://a?weight=":                         "no value",
		"http://a?weight":                          "no value",
		"http://a?":                                `key ""`,
		"http://a?wieght=3":                        `key "wieght" is not known`,
		"http://a?name=b&name=c":                   "twice",
		"http://a?name=b!":                         `name "b!"`,
		"http://a?name=" + strings.Repeat("n", 65): "name",
		"http://a?host=x/y":                        "path",
		"http://a?host=X":                          "lower case",
		"http://a?host=:80":                        "no name",
		"http://a?protocol=h2":                     "not known for fixed",
		"dns://":                                   "no host",
		"dns://:80":                                "no host",
		"dns://10.0.0.1:80":                        "is an address",
		"dns://[::1]:80":                           "is an address",
		"dns://a:99999":                            "port",
		"dns://a/b":                                "path",
		"dns://a?protocol=ftp":                     "protocol",
		"dns://a?weight=3":                         "not known for dns",
		"srv://_http._tcp.a:80":                    "a port is refused",
		"srv://10.0.0.1":                           "is an address",
		"srv://":                                   "no host",
		"run://":                                   "not the name of",
		"run://Api":                                "not the name of",
		"run://1api":                               "not the name of",
		"run://my_api":                             "not the name of",
		"run://api.":                               "not a region",
		"run://api.Europe":                         "not a region",
		"run://api.europe-west1.my-project":        "project number",
		"run://api.europe-west1.":                  "project number",
		"run://api.europe-west1.1.2":               "three parts",
		"run://api/x":                              "path",
		"run://api?tag=A":                          "tag",
		"run://api?tag=a---b":                      "tag",
		"run://api?host=x":                         "not known for run",
		"run://" + strings.Repeat("a", 60) + ".r.123456": "write the service's own URL as https://",
		"metadata://instance/attributes/":                "attribute",
		"metadata://instance/attributes/a/b":             "attribute",
		"metadata://instance/attributes/a%2Fb":           "percent",
		"metadata://instance/id":                         "attribute",
		"metadata://attributes/x":                        "attribute",
		"metadata://project/attributes/x?a=b":            "no keys",
		"demo://0":                                       "number of demo",
		"demo://65":                                      "number of demo",
		"demo://x":                                       "number of demo",
		"demo://03":                                      "number of demo",
		"demo://3?weight=2":                              "no keys",
		"dns://a:80?resolver=10.0.0.1":                   "no host or no port",
		"dns://a:80?resolver=:53":                        "no host or no port",
		"srv://a?resolver=10.0.0.256:53":                 "not an IPv4 address",
		"file://etc/list":                                "three of them",
		"file:///etc/":                                   "ends with a slash",
		"file:///etc/../list":                            "dot segments",
		"file:///no/such/list":                           "does not exist",
		"file:///etc":                                    "not a file",
		"file:///etc/hosts":                              "the file's item 1",
		"gce://x":                                        "names no zone and no region",
		"gce://x.europe":                                 "neither a zone",
		"gce://x.europe-west1-b:8080":                    "gce://x.europe-west1-b?port=8080",
		"gce://x.europe-west1-b.Project":                 "neither a project",
		"gce://europe-west1-b/x":                         "a path is refused",
		"gce://*.europe-west1?port=80":                   "neither a group nor a label",
		"gce://*.europe-west1?label.app=web":             "needs a port's number",
		"gce://*?label.app=web&port=http":                "needs a port's number",
		"gce://x.europe-west1?port=70000":                "name of a group's port",
		"gce://x.europe-west1?network=a/b":               "lower-case letters",
		"gce://x.europe-west1?protocol=https":            "name that the instances' certificates are for",
		"gce+neg://*.europe-west1-b":                     "not the name of a network endpoint group",
		"gce+neg://x":                                    "names no zone and no region",
		"gce+neg://x.europe-west1-b?port=http":           "have no names",
		"gce+neg://x.europe-west1-b?protocol=h2":         "name that the endpoints' certificates are for",
		"mig://x":                                        "gce://GROUP.LOCATION",
		"neg://x":                                        "gce+neg://GROUP.LOCATION",
		"projects/p-1/zones/us-east1-b/instanceGroups/x": "write gce://x.us-east1-b.p-1",
		"gce://regions/us-east1/instanceGroupManagers/x": "write gce://x.us-east1",
		"run+list://europe-west1":                        "names no label",
		"run+list://europe-west1?label=x":                "not known for run+list",
		"run+list://?label.Team=x":                       "lower-case",
		"run+list://a.b.c?label.team=x":                  "neither a project",
	}
	const resources = "https://www.googleapis.com/compute/v1/projects/p-1/zones/us-east1-b/"
	tests[resources+"networkEndpointGroups/x?port=80"] = "write gce+neg://x.us-east1-b.p-1"
	for item, want := range tests {
		_, problems := Parse([]string{"http://first", item})
		if len(problems) == 0 {
			t.Errorf("Parse(%q) accepted it", item)
			continue
		}
		p := problems[0]
		if p.Variable != "LB_BACKENDS" || p.Accepted == "" || !strings.HasPrefix(p.Reason, "item 2 ") {
			t.Errorf("Parse(%q): incomplete problem %+v", item, p)
		}
		if item != "://x" && !strings.Contains(p.Reason+"; "+p.Accepted, want) {
			t.Errorf("Parse(%q)\n got %s\nwant %s", item, p, want)
		}
	}
}

func TestParse_ReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	targets, problems := Parse([]string{"ftp://x", "http://", "http://a/path", "http://ok", "http://b:0?x=y&weight=z"})
	if len(targets) != 1 || len(problems) != 6 {
		t.Fatalf("got %d targets and %d problems: %v", len(targets), len(problems), problems)
	}
}

func TestParse_SameNameTwiceIsAnError(t *testing.T) {
	t.Parallel()
	for _, items := range [][]string{
		{"http://a", "https://a"},
		{"http://a?name=x", "http://b?name=x"},
		{"run://api", "http://b?name=api"},
		{":8081", ":8081"},
	} {
		if _, problems := Parse(items); len(problems) != 1 || !strings.Contains(problems[0].Reason, "that of item 1") {
			t.Errorf("Parse(%q): %v", items, problems)
		}
	}
	if _, problems := Parse([]string{"dns://a:80", "dns://b:80", "run://api", "run://api?tag=v2"}); problems != nil {
		t.Errorf("kinds without a name of their own clash: %v", problems)
	}
}

func TestParse_NoProblemRepeatsASecret(t *testing.T) {
	t.Parallel()
	for _, item := range []string{
		"http://user:hunter2@a", "http://hunter2@a:0", "user:hunter2@a:80", "http://a?token=hunter2", "ftp://x?k=hunter2",
		"http://user:hunter2?x@a", "http://user:x?hunter2@a", "ftp://user:hunter2#x@a",
	} {
		_, problems := Parse([]string{item})
		for _, p := range problems {
			if strings.Contains(p.String()+p.Given, "hunter2") {
				t.Errorf("Parse(%q) prints %s", item, p)
			}
		}
	}
}

func TestParse_AttributesMayNotNameUnusableTargets(t *testing.T) {
	t.Parallel()
	for _, item := range []string{
		"metadata://instance/attributes/x", "demo://3", "http://169.254.169.254", "http://[fe80::1]:80",
		"http://[fd20:ce::254]:80", "http://0.0.0.0:80", "http://[ff02::1]:80", "file://" + absolute("testdata/backends"),
		"dns://a:80?resolver=169.254.169.254:53",
	} {
		if _, problems := (grammar{nested: true}).parse([]string{item}); len(problems) != 1 {
			t.Errorf("%q in an attribute: %v", item, problems)
		}
	}
	targets, problems := grammar{nested: true}.parse(Items("http://a;dns://b:80,\nrun://c\n;; :8081 "))
	if len(problems) > 0 || len(targets) != 4 || targets[0].Written {
		t.Errorf("a good attribute: %v, %v", targets, problems)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		":8081;:8082", "http://a?name=b&weight=3;https://[::1]:443", "dns://a.:80?protocol=h2", "run://a.b.1?tag=c",
		"metadata://project/attributes/x", "demo://3", "http://a%3b:1", "http://u:p@h/", "://", "?", "[",
		"http://[::1%25eth0]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		items := Items(s)
		targets, problems := Parse(items)
		if len(problems) == 0 && len(targets) != len(items) {
			t.Fatalf("%q: %d items gave %d targets and no problem", s, len(items), len(targets))
		}
		for _, p := range problems {
			if strings.ContainsAny(p.String(), "\r\n\x00") || p.Variable == "" || p.Reason == "" {
				t.Fatalf("%q: bad problem %q", s, p.String())
			}
		}
		for _, target := range targets {
			b := target.Template
			all := b.Name + b.Address + b.Fallback + b.Host + b.SetHost + target.Host + target.Path
			if strings.ContainsAny(all, " \t\r\n%@#\\\x00") || strings.Contains(b.Address+b.Host+b.Name, "/") {
				t.Fatalf("%q: odd target %+v", s, target)
			}
			if target.Kind == Fixed && (b.Address == "" || b.Host == "" || b.Name == "") {
				t.Fatalf("%q: incomplete target %+v", s, target)
			}
			if again, problems := Parse([]string{target.Item}); len(problems) > 0 || again[0] != target {
				t.Fatalf("%q: parsing the item again gives %+v, %v", s, again, problems)
			}
		}
	})
}
