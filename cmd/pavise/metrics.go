package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/admin"
)

// writeMetrics writes a status in the text format of Prometheus, for a collector that reads
// files.
func writeMetrics(to io.Writer, s admin.Status) error {
	var b strings.Builder
	gauge := func(name, help string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name) }
	gauge("pavise_running", "Whether a gateway serves (1) or the store was read while none does (0).")
	fmt.Fprintf(&b, "pavise_running %d\n", number(s.Running))
	gauge("pavise_clients", "Clients in the registry.")
	fmt.Fprintf(&b, "pavise_clients %d\n", s.Clients)
	gauge("pavise_credentials", "Credentials in the registry.")
	fmt.Fprintf(&b, "pavise_credentials %d\n", s.Credentials)
	if l := s.Load; l != nil {
		gauge("pavise_requests_under_way", "Requests under way.")
		fmt.Fprintf(&b, "pavise_requests_under_way %d\n", l.UnderWay)
		gauge("pavise_request_places", "How many requests may be under way.")
		fmt.Fprintf(&b, "pavise_request_places %d\n", l.Places)
		b.WriteString("# HELP pavise_requests_shed_total Requests refused because too many were under way, by priority.\n# TYPE pavise_requests_shed_total counter\n")
		for _, priority := range slices.Sorted(maps.Keys(l.Shed)) {
			fmt.Fprintf(&b, "pavise_requests_shed_total{priority=\"%s\"} %d\n", labelled(priority), l.Shed[priority])
		}
	}
	if len(s.Faults) > 0 {
		gauge("pavise_part_failing", "Parts of the gateway that are not well.")
		for _, part := range slices.Sorted(maps.Keys(s.Faults)) {
			fmt.Fprintf(&b, "pavise_part_failing{part=\"%s\"} 1\n", labelled(part))
		}
	}
	if len(s.Certificates) > 0 {
		gauge("pavise_certificate_not_after_timestamp_seconds", "When a certificate ends, in seconds since 1970.")
		for _, c := range s.Certificates {
			fmt.Fprintf(&b, "pavise_certificate_not_after_timestamp_seconds{name=\"%s\"} %d\n", labelled(c.Name), c.NotAfter.Unix())
		}
	}
	_, err := io.WriteString(to, b.String())
	return err
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// labelled escapes a label's value.
func labelled(value string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value)
}
