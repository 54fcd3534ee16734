package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// exposed notices credentials that were sent where others can read them.
func exposed(thresholds) Rule {
	return Rule{
		Name: "exposed_credential", Severity: High, Quiet: 24 * time.Hour,
		Means: "a credential was sent where others read it: in a query, without TLS, or by a browser's script. It has to be taken for known",
		Do:    "rotate it (pavise key rotate ID), and tell its owner how to send it",
		When:  When{and: func(e *audit.Event) bool { return e.Exposed }}, Per: perExposed,
		What: "a credential was sent where others can read it",
	}
}

// plainHTTP notices callers who have not understood that there is TLS, and may send a
// credential one day.
func plainHTTP(t thresholds) Rule {
	return Rule{
		Name: "plain_http", Severity: Low, Quiet: 24 * time.Hour,
		Means: "a network goes on calling without TLS, which is refused: the next request may carry a credential for everybody on the way to read",
		Do:    "mend the address that this client has: https://",
		When:  When{Codes: []string{"tls_required"}, and: func(e *audit.Event) bool { return !e.Exposed }}, Per: PerNetwork,
		Most: t.of("plain_http", plainMost), Over: plainOver, What: "requests without TLS",
	}
}

// Thresholds of requests without TLS: browsers and health checks come now and then.
const (
	plainMost = 300
	plainOver = time.Hour
)
