package metrics_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/metrics"
	"pavise.dev/pavise/internal/sink"
)

// everything is every metric that there is, with its labels.
func everything(t *testing.T) map[string][]string {
	t.Helper()
	m := counting(metrics.Options{})
	for _, e := range []audit.Event{
		*accepted(),
		{Class: audit.Connection, Step: "tls", Code: "tls_version"},
		{Class: audit.Admin, Action: "client.create", Decision: audit.Accepted},
		{Class: audit.Grant, Action: "token.issue"},
	} {
		m.See(1, &e)
	}
	m.Show(func() metrics.State {
		return metrics.State{
			Status: admin.Status{
				Running: true, Load: &admin.Load{Shed: map[string]int{"low": 1}}, Faults: map[string]string{"log": "x"},
				Certificates: []admin.CertificateEnd{{Name: "host a", NotAfter: time.Unix(1, 0)}},
			},
			Sinks: []sink.Status{{Name: "siem", Kind: "syslog"}}, Upstreams: []metrics.Upstream{{API: "orders", Well: 1, All: 1}},
			Incidents: map[metrics.Incident]int{{Detection: "guessing", Severity: "high"}: 1}, Log: &metrics.Log{}, Unready: map[string]bool{"log": false}, Confirmed: 1,
		}
	})
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"up": {}}
	for name, family := range families {
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
		}
		all[name] = labels
		if family.GetMetric()[0].GetHistogram() != nil {
			all[name+"_bucket"] = append(slices.Clone(labels), "le")
			all[name+"_count"], all[name+"_sum"] = labels, labels
		}
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b(pavise_\w+|go_\w+|process_\w+|up)\b(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouped  = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// holds checks one expression: each metric is there, and has each label that is asked for.
func holds(t *testing.T, where, expression string, all map[string][]string) {
	t.Helper()
	known := []string{"instance", "job"}
	found := selector.FindAllStringSubmatch(expression, -1)
	if len(found) == 0 {
		t.Errorf("%s asks for nothing of ours: %s", where, expression)
	}
	for _, m := range found {
		labels, ok := all[m[1]]
		if !ok {
			t.Errorf("%s: there is no %s: %s", where, m[1], expression)
			continue
		}
		known = append(known, labels...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if l[1] != "instance" && l[1] != "job" && !slices.Contains(labels, l[1]) {
				t.Errorf("%s: %s has no label %s: %s", where, m[1], l[1], expression)
			}
		}
	}
	for _, by := range grouped.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			if !slices.Contains(known, strings.TrimSpace(label)) {
				t.Errorf("%s: nothing has the label %s: %s", where, label, expression)
			}
		}
	}
}

func deployed(t *testing.T, name string) []byte {
	t.Helper()
	text, err := fs.ReadFile(os.DirFS("../.."), "deploy/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheDashboardAsksForWhatThereIs(t *testing.T) {
	type target struct{ Expr string }
	var board struct {
		Title       string
		Annotations struct{ List []target }
		Panels      []struct {
			ID          int
			Type, Title string
			Targets     []target
			GridPos     struct{ H, W, X, Y int }
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(deployed(t, "grafana/pavise.json")))
	if err := decoder.Decode(&board); err != nil {
		t.Fatal(err)
	}
	all, shown, ids := everything(t), map[string]bool{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("the panel %d %q has no place of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("the panel %s shows nothing", p.Title)
		}
		for _, one := range p.Targets {
			holds(t, "panel "+p.Title, one.Expr, all)
			for _, m := range selector.FindAllStringSubmatch(one.Expr, -1) {
				shown[m[1]] = true
			}
		}
	}
	for _, one := range board.Annotations.List {
		holds(t, "annotation", one.Expr, all)
	}
	for _, subject := range []string{
		"pavise_requests_total", "pavise_request_duration_seconds_bucket", "pavise_part_duration_seconds_bucket", "pavise_upstream_duration_seconds_bucket",
		"pavise_sink_lag_events", "pavise_alerts_open", "pavise_certificate_not_after_timestamp_seconds", "pavise_requests_under_way", "pavise_log_places_used",
	} {
		if !shown[subject] {
			t.Errorf("nothing shows %s", subject)
		}
	}
}

func TestTheRulesAskForWhatThereIs(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/alerts.yml"), &rules); err != nil {
		t.Fatal(err)
	}
	all, n := everything(t), 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			holds(t, r.Alert, r.Expr, all)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s says neither how bad it is nor what to do", r.Alert)
			}
			if !strings.Contains(string(deployed(t, "prometheus/alerts_test.yml")), `alertname="`+r.Alert+`"`) {
				t.Errorf("%s has no test that it fires", r.Alert)
			}
		}
	}
	if n < 15 {
		t.Errorf("%d rules", n)
	}
}

// A metric or label that is not there must be found.
func TestWhatIsNotThereIsFound(t *testing.T) {
	all := everything(t)
	for _, expression := range []string{"pavise_nothing", `pavise_requests_total{client="a"}`, "sum by (user) (pavise_requests_total)"} {
		quiet := &testing.T{}
		holds(quiet, "a test", expression, all)
		if !quiet.Failed() {
			t.Errorf("nobody minds %s", expression)
		}
	}
}
