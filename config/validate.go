package config

// validate checks the rules between variables. The form of each variable has
// checked its value before.
func (e *environment) validate(c *Config) {
	if !e.hasBackends(c) && len(e.names) == 0 && !c.Route.Answers() {
		e.noBackends()
	}

	e.unreadable(c)
	e.followReceiver(&c.Telemetry.TracesReceiver, otlpTraces)
	e.followReceiver(&c.Telemetry.MetricsReceiver, otlpMetrics)
	e.cacheFits(c)
	e.clientCertificates(c)
	e.backendCookies(c)
	if delay, end := c.Process.DrainDelay, c.Process.DrainTimeout; delay > 0 && delay >= end {
		e.problems = append(e.problems, Problem{
			Variable: "LB_DRAIN_DELAY",
			Given:    e.given["LB_DRAIN_DELAY"],
			Reason: "is " + short(delay) + " and ends no sooner than LB_DRAIN_TIMEOUT, which is " +
				short(end),
			Accepted: "less than LB_DRAIN_TIMEOUT",
		})
	}
}

// clientCertificates requires TLS for LB_TLS_CLIENT_CA_FILE.
func (e *environment) clientCertificates(c *Config) {
	const name = "LB_TLS_CLIENT_CA_FILE"
	if e.accepted(name) == "" {
		return
	}
	if c.Process.Certificate == nil && e.given["LB_TLS_CERT_FILE"] == "" {
		e.missing("LB_TLS_CERT_FILE", "is not set but "+name+" is")
	}
	if c.Platform.CloudRun() && c.Process.Role == Ingress {
		e.warnings = append(e.warnings, Problem{
			Variable: name, Given: clip(e.given[name]), Reason: "means nothing on Cloud Run: its front " +
				"end ends TLS, and no client's certificate comes this far",
		})
	}
}

// unreadable warns of metrics for Prometheus that can't be read, because they
// are served below LB_STATUS_PATH to requests with LB_STATUS_TOKEN. No port
// 9464 is opened.
func (e *environment) unreadable(c *Config) {
	t := &c.Telemetry
	if t.Disabled || t.MetricsExporter != ExportPrometheus || c.Process.StatusToken != nil &&
		c.Process.StatusPath != "" {
		return
	}

	lacking := "LB_STATUS_TOKEN is not set"
	if c.Process.StatusPath == "" {
		lacking = "LB_STATUS_PATH is none"
	}

	v := e.rows["OTEL_METRICS_EXPORTER"]
	e.warnings = append(e.warnings, Problem{
		Variable: v.Name,
		Given:    string(t.MetricsExporter),
		Reason: "is prometheus but " + lacking + ", so nobody can read the metrics, and it " +
			"counts as none",
		Accepted: v.Accepted() + "; prometheus needs LB_STATUS_TOKEN and LB_STATUS_PATH",
		Example:  "LB_STATUS_TOKEN='" + e.rows["LB_STATUS_TOKEN"].Example + "'",
	})

	t.MetricsExporter = ExportNone
}

// together requires both variables or neither.
func (e *environment) together(one, other string) {
	for _, pair := range [][2]string{{one, other}, {other, one}} {
		_, has := e.given[pair[0]]
		_, lacks := e.given[pair[1]]
		if has && !lacks {
			e.missing(pair[1], "is not set but "+pair[0]+" is")
		}
	}
}
