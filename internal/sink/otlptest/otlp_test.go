// Package otlptest reads what the destination otlp posts with OpenTelemetry's own types.
package otlptest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/form/formtest"
	"pavise.dev/pavise/internal/sink/otlp"
)

// posted sends events and reads the request. LogsData has the same field as
// ExportLogsServiceRequest.
func posted(t *testing.T, events []audit.Found) *logs.LogsData {
	t.Helper()
	all := &logs.LogsData{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		part := &logs.LogsData{}
		if err := (proto.UnmarshalOptions{}).Unmarshal(body, part); err != nil {
			t.Error(err)
		}
		all.ResourceLogs = append(all.ResourceLogs, part.ResourceLogs...)
	}))
	defer server.Close()
	source := form.Source{Node: "gw1", Version: "v1"}
	write, err := source.Form(form.OCSF)
	if err != nil {
		t.Fatal(err)
	}
	d, err := otlp.New(otlp.Settings{HTTP: server.Client(), URL: server.URL + "/v1/logs", Form: write, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Send(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	return all
}

func events() (all []audit.Event) {
	for _, s := range formtest.Samples(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)) {
		all = append(all, s.Event)
	}
	return all
}

func TestRecordsAreReadAsTheyWereMeant(t *testing.T) {
	var found []audit.Found
	for i, e := range events() {
		found = append(found, audit.Found{Seq: uint64(i + 1), Event: e})
	}
	all := posted(t, found)
	if len(all.ResourceLogs) != 1 || len(all.ResourceLogs[0].ScopeLogs) != 1 {
		t.Fatalf("%v", all)
	}
	resource := map[string]string{}
	for _, a := range all.ResourceLogs[0].Resource.Attributes {
		resource[a.Key] = a.Value.GetStringValue()
	}
	if resource["service.name"] != "pavise" || resource["host.name"] != "gw1" || resource["service.version"] != "v1" {
		t.Errorf("%v", resource)
	}
	records := all.ResourceLogs[0].ScopeLogs[0].LogRecords
	if len(records) != len(found) || all.ResourceLogs[0].ScopeLogs[0].Scope.Name != "pavise.dev/pavise/audit" {
		t.Fatalf("%d records of %d", len(records), len(found))
	}
	for i, r := range records {
		e := found[i].Event
		if r.TimeUnixNano != uint64(e.Time.UnixNano()) || r.EventName != "pavise."+string(e.Class) || r.SeverityText == "" || len(r.ProtoReflect().GetUnknown()) > 0 {
			t.Errorf("%v", r)
		}
		if r.SeverityNumber.String() != "SEVERITY_NUMBER_"+r.SeverityText {
			t.Errorf("severity %v is not %s", r.SeverityNumber, r.SeverityText)
		}
		attributes := map[string]any{}
		for _, a := range r.Attributes {
			attributes[a.Key] = a.Value.GetStringValue()
			if n := a.Value.GetIntValue(); n != 0 {
				attributes[a.Key] = n
			}
		}
		if attributes["log.record.uid"] != e.ID || attributes["pavise.seq"] != int64(i+1) || e.Client != "" && attributes["pavise.client"] != e.Client ||
			e.Status != 0 && attributes["http.response.status_code"] != int64(e.Status) || e.Method != "" && attributes["http.request.method"] != e.Method {
			t.Errorf("%v: %v", e, attributes)
		}
		if !json.Valid([]byte(r.Body.GetStringValue())) || !strings.Contains(r.Body.GetStringValue(), e.ID) {
			t.Errorf("%s", r.Body)
		}
	}
}

func TestHostileTextIsText(t *testing.T) {
	for _, text := range []string{"\xff\xfe", "a\r\nb", "\x00", "\u202e", strings.Repeat("ü", 300), "\xed\xa0\x80"} {
		e := audit.Event{ID: "r1", Class: audit.Class(text), Client: text, Path: text, Code: text, Method: text}
		r := posted(t, []audit.Found{{Seq: 1, Event: e}}).ResourceLogs[0].ScopeLogs[0].LogRecords[0]
		for _, a := range r.Attributes {
			if strings.ContainsAny(a.Value.GetStringValue(), "\r\n\x00\u202e") {
				t.Errorf("%q: %s is %q", text, a.Key, a.Value.GetStringValue())
			}
		}
	}
}
