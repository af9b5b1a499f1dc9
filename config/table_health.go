package config

import "time"

// healthVariables returns the rows of active checks, passive ejection and
// retries.
func healthVariables() []Variable {
	rows := []Variable{
		{Name: "LB_HEALTH_CHECK", Default: "off", Example: "/healthz", form: orNone(probe(), ""),
			Sentence: "How the health of endpoints is checked: a path by HTTP, the gRPC health " +
				"service, or only a connection."},
		{Name: "LB_HEALTH_CHECK_INTERVAL", Default: "5s", Example: "10s",
			form: duration(10*time.Millisecond, day),
			Sentence: "The time between two probes of an endpoint, with 20% jitter; 1 s while a " +
				"verdict is changing."},
		{Name: "LB_HEALTH_CHECK_TIMEOUT", Default: "2s", Example: "1s",
			form:     duration(time.Millisecond, time.Hour),
			Sentence: "How long a probe may take."},
		{Name: "LB_HEALTH_CHECK_HEALTHY", Default: "2", Example: "1", form: count(1, 100),
			Sentence: "Good probes in a row that make an endpoint healthy. The very first probe " +
				"decides at once."},
		{Name: "LB_HEALTH_CHECK_UNHEALTHY", Default: "3", Example: "2", form: count(1, 100),
			Sentence: "Bad probes in a row that make an endpoint unhealthy."},
		{Name: "LB_HEALTH_CHECK_STATUS", Default: "200-399", Example: "200;204", form: statuses(),
			Sentence: "The statuses that are a good answer to a probe by HTTP."},
	}

	rows = append(rows, ejectVariables()...)
	rows = append(rows, retryVariables()...)
	return inSection(healthSection, true, rows)
}

// ejectVariables returns the rows of outlier ejection.
func ejectVariables() []Variable {
	return []Variable{
		{Name: "LB_EJECT_ERRORS", Default: "5", Example: "10", form: count(0, 1_000_000),
			Sentence: "Failures in a row that eject an endpoint: connection errors, broken " +
				"answers, time-outs, the statuses of LB_EJECT_STATUS. 0 is off."},
		{Name: "LB_EJECT_RATE", Default: "70%", Example: "50%", form: share(),
			Sentence: "The success rate below which an endpoint is ejected, given 20 samples in 2 " +
				"s or in 10 s and others that do 20 points better. Other statuses from 500 on, " +
				"but not 501, count here too; in role ingress only when at least three clients " +
				"met them. 0 is off."},
		{Name: "LB_EJECT_STATUS", Default: "502-504", Example: "500;502-504",
			form: orNone(statuses(), ""),
			Sentence: "The statuses that are failures of their endpoint, and the gRPC status " +
				"UNAVAILABLE with 503. 429 never is."},
		{Name: "LB_EJECT_TIME", Default: "10s", Example: "30s",
			form: duration(time.Millisecond, 5*time.Minute),
			Sentence: "How long an endpoint is ejected, times the number of ejections in a row, " +
				"at most 300 s."},
		{Name: "LB_EJECT_MAX", Default: "50%", Example: "30%", form: share(),
			Sentence: "The share of endpoints that statuses alone may eject, at least one. " +
				"Endpoints that can't be reached or break their answers are left out without this " +
				"limit, but never the last eligible one."},
		{Name: "LB_PANIC_THRESHOLD", Default: "0", Example: "30%", form: share(),
			Sentence: "The share of healthy endpoints at or below which all are used. 0: only " +
				"when none is eligible."},
		{Name: "LB_SLOW_START", Default: "0", Example: "30s", form: duration(0, time.Hour),
			Sentence: "How long a new or readmitted endpoint takes to get its full share."},
	}
}

// retryVariables returns the rows of retries.
func retryVariables() []Variable {
	return []Variable{
		{Name: "LB_RETRIES", Route: true, Default: "1", Example: "2", form: count(0, 10),
			Sentence: "Further attempts of a request that may have reached a backend, each on an " +
				"endpoint not yet tried, and only of GET, HEAD, OPTIONS, PUT, DELETE or with an " +
				"Idempotency-Key, and before any of an answer. Any other request, such as a POST, " +
				"is acted upon once at most. Where nothing was sent, or TCP proves that " +
				"nothing arrived, up to 3 further endpoints are tried whatever this says."},
		{Name: "LB_RETRY_STATUS", Route: true, Default: "none", Example: "502;503",
			form:     orNone(statuses(), ""),
			Sentence: "Statuses of idempotent requests that are retried too."},
		{Name: "LB_RETRY_BUDGET", Default: "20%", Shown: "20%, plus 10 a second", Example: "10%",
			form:     share(),
			Sentence: "Retries allowed, as a share of the requests of the last 10 s."},
		{Name: "LB_RETRY_BUFFER", Route: true, Default: "64KiB", Example: "1MiB",
			form:     size(0, 64*mib),
			Sentence: "How much of a request's body is kept to be sent again."},
		{Name: "LB_START_HOLD", Shown: "10s for loopback backends, else 0", unset: "-1ns",
			Example: "30s", form: duration(0, time.Hour),
			Sentence: "How long requests wait for a service of which no endpoint has ever " +
				"accepted a connection, counted from the first publication of its backends."},
	}
}
