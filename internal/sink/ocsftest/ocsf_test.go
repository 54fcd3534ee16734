// Package ocsftest holds events to the published OCSF schema.
package ocsftest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/valllabh/ocsf-schema-golang/ocsf/v1_2_0/events/application"
	"github.com/valllabh/ocsf-schema-golang/ocsf/v1_2_0/events/findings"
	"github.com/valllabh/ocsf-schema-golang/ocsf/v1_2_0/events/iam"
	"github.com/valllabh/ocsf-schema-golang/ocsf/v1_2_0/events/network"
	"github.com/valllabh/ocsf-schema-golang/ocsf/v1_2_0/events/other"
	validate "github.com/valllabh/ocsf-schema-golang/ocsfvalidate/1.2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/form/formtest"
)

// class is one of OCSF: its name in the schema, and the generated type.
type class struct {
	name string
	make func() proto.Message
}

func classes() map[int64]class {
	return map[int64]class{
		0:    {"base_event", func() proto.Message { return &other.BaseEvent{} }},
		2004: {"detection_finding", func() proto.Message { return &findings.DetectionFinding{} }},
		3001: {"account_change", func() proto.Message { return &iam.AccountChange{} }},
		3002: {"authentication", func() proto.Message { return &iam.Authentication{} }},
		3003: {"authorize_session", func() proto.Message { return &iam.AuthorizeSession{} }},
		3004: {"entity_management", func() proto.Message { return &iam.EntityManagement{} }},
		3005: {"user_access", func() proto.Message { return &iam.UserAccess{} }},
		4001: {"network_activity", func() proto.Message { return &network.NetworkActivity{} }},
		4002: {"http_activity", func() proto.Message { return &network.HttpActivity{} }},
		6002: {"application_lifecycle", func() proto.Message { return &application.ApplicationLifecycle{} }},
		6003: {"api_activity", func() proto.Message { return &application.ApiActivity{} }},
	}
}

func TestEveryEventIsOCSF(t *testing.T) {
	published := readSchema(t)
	write, err := form.Source{Node: "gw1", Version: "v1.2.3"}.Form(form.OCSF)
	if err != nil {
		t.Fatal(err)
	}
	used := map[int64]bool{}
	for _, s := range formtest.Samples(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)) {
		for _, seq := range []uint64{1, 1 << 40} {
			t.Run(fmt.Sprint(s.Name, seq), func(t *testing.T) {
				line := write(nil, audit.Found{Seq: seq, Event: s.Event})
				used[s.Class] = true
				v := decode(t, line)
				if v["class_uid"] != json.Number(fmt.Sprint(s.Class)) || v["activity_id"] != json.Number(fmt.Sprint(s.Activity)) {
					t.Errorf("class %v, activity %v, want %d and %d", v["class_uid"], v["activity_id"], s.Class, s.Activity)
				}
				isOCSF(t, published, classes()[s.Class], line)
			})
		}
	}
	for id, c := range classes() {
		if !used[id] {
			t.Errorf("no event is %s", c.name)
		}
	}
}

func TestHostileEventsAreOCSF(t *testing.T) {
	published := readSchema(t)
	write, err := form.Source{Node: "gw1"}.Form(form.OCSF)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "a\r\nb", `","class_uid":1,"x":"`, "\xff", "-a-.b", "[::1]:8443", "::1", strings.Repeat("a.", 300), "\u202e"} {
		for _, s := range formtest.Samples(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)) {
			e := s.Event
			for _, field := range []*string{
				&e.ID, &e.SNI, &e.Proto, &e.Method, &e.Host, &e.Path, &e.Query, &e.UserAgent, &e.Detail, &e.Shield, &e.CredentialID, &e.Issuer,
				&e.Subject, &e.Client, &e.User, &e.Tenant, &e.Upstream, &e.Actor, &e.Target, &e.Change, &e.API,
			} {
				*field = text
			}
			e.Remote, e.Status, e.BytesIn, e.Count = netip.AddrPort{}, 1<<40, 1<<62, 1<<40
			line := write(nil, audit.Found{Seq: 1, Event: e})
			id, err := decode(t, line)["class_uid"].(json.Number).Int64()
			if err != nil {
				t.Fatal(err)
			}
			isOCSF(t, published, classes()[id], line)
		}
	}
}

// The checks themselves refuse what is no OCSF.
func TestWhatIsNoOCSFIsRefused(t *testing.T) {
	published := readSchema(t)
	write, err := form.Source{}.Form(form.OCSF)
	if err != nil {
		t.Fatal(err)
	}
	s := formtest.Samples(time.Now())[0]
	good := string(write(nil, audit.Found{Seq: 1, Event: s.Event}))
	for name, bad := range map[string]string{
		"an attribute that is not there": strings.Replace(good, `"message"`, `"massage"`, 1),
		"a nested one":                   strings.Replace(good, `"operation"`, `"operatoin"`, 1),
		"no actor":                       strings.Replace(good, `"actor"`, `"unmapped2"`, 1),
		"an activity of no class":        strings.Replace(good, `"activity_id":2`, `"activity_id":77`, 1),
		"no address":                     strings.Replace(good, `"ip":"192.0.2.7"`, `"ip":"somewhere"`, 1),
		"an endpoint without a name":     strings.Replace(good, `"ip":"192.0.2.7",`, ``, 1),
		"a text for a number":            strings.Replace(good, `"time":`, `"time":"x`, 1),
	} {
		if bad == good {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		if faults(published, classes()[s.Class], []byte(bad)) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func isOCSF(t *testing.T, published *schema, c class, line []byte) {
	t.Helper()
	for _, fault := range faults(published, c, line) {
		t.Errorf("%s: %v\n%s", c.name, fault, line)
	}
}

func faults(published *schema, c class, line []byte) (all []error) {
	var v map[string]any
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return append(all, err)
	}
	all = append(all, published.check(c.name, "", published.Classes[c.name], v)...)
	if err := validJSON(published, c, v); err != nil {
		all = append(all, fmt.Errorf("JSON Schema: %w", err))
	}
	delete(v, "unmapped") // the generated type of it has no fields
	rest, err := json.Marshal(v)
	if err != nil {
		return append(all, err)
	}
	if err := protojson.Unmarshal(rest, c.make()); err != nil {
		all = append(all, fmt.Errorf("generated type: %w", err))
	}
	return all
}

// validJSON holds an event to the JSON Schema of its class. These were exported with every
// profile switched on; what profiles alone demand is added for it.
func validJSON(published *schema, c class, v map[string]any) error {
	v = maps.Clone(v)
	for name, a := range published.Classes[c.name].Attributes {
		if a.Profile == "" || a.Requirement != "required" {
			continue
		}
		switch name {
		case "cloud":
			v[name] = map[string]any{"provider": "none"}
		case "device":
			v[name] = map[string]any{"type_id": 0}
		default:
			v[name] = 0
		}
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return validate.Validate(c.name, line)
}

func decode(t *testing.T, line []byte) (v map[string]any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return v
}

// schema is what the owners of OCSF export.
type schema struct {
	Version string             `json:"version"`
	Classes map[string]*object `json:"classes"`
	Objects map[string]*object `json:"objects"`
}

type object struct {
	Attributes  map[string]*attribute `json:"attributes"`
	Constraints *struct {
		AtLeastOne []string `json:"at_least_one"`
		JustOne    []string `json:"just_one"`
	} `json:"constraints"`
}

type attribute struct {
	Requirement string                     `json:"requirement"`
	Profile     string                     `json:"profile"`
	Type        string                     `json:"type"`
	ObjectType  string                     `json:"object_type"`
	IsArray     bool                       `json:"is_array"`
	Enum        map[string]json.RawMessage `json:"enum"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/valllabh/ocsf-schema-golang").Output()
	if err != nil {
		t.Fatalf("find the schema: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema", "v1.2-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{}
	if err := json.Unmarshal(text, s); err != nil || s.Version != "1.2.0" {
		t.Fatalf("version %s, %v", s.Version, err)
	}
	return s
}

// check holds a value to a class or an object.
func (s *schema) check(class, path string, o *object, v map[string]any) (all []error) {
	if o == nil {
		return []error{fmt.Errorf("%s: the schema does not know it", path)}
	}
	for name, value := range v {
		a := o.Attributes[name]
		if a == nil {
			all = append(all, fmt.Errorf("%s has no attribute %s", path, name))
			continue
		}
		if a.Profile != "" {
			all = append(all, fmt.Errorf("%s.%s belongs to the profile %s, which is not named", path, name, a.Profile))
		}
		all = append(all, s.value(class, path+"."+name, a, value)...)
	}
	for name, a := range o.Attributes {
		if _, ok := v[name]; !ok && a.Requirement == "required" && a.Profile == "" {
			all = append(all, fmt.Errorf("%s lacks %s", path, name))
		}
	}
	if o.Constraints != nil && len(o.Constraints.AtLeastOne) > 0 {
		some := false
		for _, name := range o.Constraints.AtLeastOne {
			_, ok := v[name]
			some = some || ok
		}
		if !some {
			all = append(all, fmt.Errorf("%s has none of %v", path, o.Constraints.AtLeastOne))
		}
	}
	return all
}

func (s *schema) value(class, path string, a *attribute, value any) []error {
	if a.IsArray {
		list, ok := value.([]any)
		if !ok || len(list) == 0 {
			return []error{fmt.Errorf("%s is no list", path)}
		}
		one := *a
		one.IsArray = false
		var all []error
		for _, each := range list {
			all = append(all, s.value(class, path, &one, each)...)
		}
		return all
	}
	if err := isType(a, value); err != nil {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	if inner, ok := value.(map[string]any); ok && a.ObjectType != "object" {
		return s.check(class, path, s.Objects[a.ObjectType], inner)
	}
	return nil
}

// hostname is the form that OCSF 1.2.0 gives to hostname_t.
var hostname = regexp.MustCompile(`^([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9])(\.([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]{0,61}[a-zA-Z0-9]))*$`)

func isType(a *attribute, value any) error {
	number, isNumber := value.(json.Number)
	text, isText := value.(string)
	switch a.Type {
	case "object_t":
		if _, ok := value.(map[string]any); !ok {
			return fmt.Errorf("%v is no object", value)
		}
		return nil
	case "integer_t", "long_t", "timestamp_t", "port_t":
		n, err := number.Int64()
		if !isNumber || err != nil || a.Type == "integer_t" && n != int64(int32(n)) || a.Type == "port_t" && (n < 0 || n > 65535) {
			return fmt.Errorf("%v is no %s", value, a.Type)
		}
		if _, ok := a.Enum[number.String()]; a.Enum != nil && !ok {
			return fmt.Errorf("%v is no value of it", value)
		}
		return nil
	case "boolean_t":
		if _, ok := value.(bool); !ok {
			return fmt.Errorf("%v is no boolean", value)
		}
		return nil
	}
	if !isText {
		return fmt.Errorf("%v is no text", value)
	}
	if _, err := netip.ParseAddr(text); a.Type == "ip_t" && err != nil {
		return err
	}
	if a.Type == "hostname_t" && !hostname.MatchString(text) {
		return fmt.Errorf("%q is no host name", text)
	}
	return nil
}
