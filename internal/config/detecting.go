package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// Detecting is what is watched for. A change takes effect with the reload: what was learned stays.
type Detecting struct {
	Detections string               `yaml:"detections" doc:"off: nothing is watched for." default:"on" enum:"on,off"`
	Off        Words                `yaml:"off" doc:"Detections that do not run, by name; pavise log replay --list shows all."`
	Thresholds map[string]int       `yaml:"thresholds" doc:"Other thresholds for detections that are there, by name: one fires with one more. pavise log replay --list shows what each counts." hint:"write a whole number from 1"`
	Rules      map[string]AlertRule `yaml:"rules" doc:"Detections of your own, by name: each counts events." keys:"^[a-z][a-z0-9_]{0,39}$" hint:"a name has 1 to 40 small letters, digits and underscores, and begins with a letter"`
}

// AlertRule is a detection that an operator wrote: more than so many events of one kind, for one
// caller or thing, within a time.
type AlertRule struct {
	When      AlertWhen `yaml:"when" doc:"Which events count." required:"yes"`
	Per       string    `yaml:"per" doc:"For whom or what they are counted. A client or user counts where it was proved; a credential also where it was only named; a network is an IPv4 address or an IPv6 /64. actor and target are those of administrative acts and of the system's events." enum:"network,client,user,credential,endpoint,api,actor,target" required:"yes"`
	Different string    `yaml:"different" doc:"Count different ones of these instead of events, 300 at most. Networks are then IPv4 /24 and IPv6 /48." enum:"path,endpoint,network,credential,user"`
	MoreThan  int       `yaml:"more_than" doc:"It fires with one more; 0: with the first." min:"0" max:"1000000" required:"yes"`
	Within    Duration  `yaml:"within" doc:"Time within which they are counted, at least; at most a seventh more (of different ones: twice)." min:"1s" max:"24h" required:"yes"`
	Severity  string    `yaml:"severity" doc:"How soon somebody should look." default:"medium" enum:"info,low,medium,high,critical"`
	Means     string    `yaml:"means" doc:"What it means, for whoever is told." required:"yes" min:"3" max:"500"`
	Do        string    `yaml:"do" doc:"What is to be done about it." min:"3" max:"500"`
}

// AlertWhen selects events; what is left out matches all.
type AlertWhen struct {
	Class    string `yaml:"class" doc:"Class of the event." enum:"request,connection,admin,grant,system"`
	Code     Words  `yaml:"code" doc:"Any of these codes: of refusals, connections, the system; of acts and grants the action, such as grant.reuse." pattern:"^[a-z0-9_.]{1,64}$" hint:"write a code, such as invalid_credential"`
	Decision string `yaml:"decision" doc:"How it ended." enum:"accepted,refused,failed,noted"`
	API      string `yaml:"api" doc:"Requests to this API."`
	Endpoint string `yaml:"endpoint" doc:"Requests to this endpoint, as apis has it: GET /v1/orders/{id}."`
	Method   string `yaml:"method" doc:"Requests with this method." pattern:"^[A-Z]{1,20}$" hint:"write GET, POST and so on"`
	Status   string `yaml:"status" doc:"Status of the answer: 404, >=500, <400 or 400-499." pattern:"^((>=|<=|>|<)?[1-5][0-9]{2}|[1-5][0-9]{2}-[1-5][0-9]{2})$" hint:"write '404', '>=500' or 400-499"`
}

// Kinds are the detections that run: ours without those that are off, and the operator's own.
func (d *Detecting) Kinds() []alert.Kind {
	if d.Detections == "off" {
		return nil
	}
	all := alert.Select(d.Off, d.Thresholds)
	for _, name := range sortedKeys(d.Rules) {
		if !slices.Contains(d.Off, name) {
			all = append(all, d.Rules[name].rule(name).Kind())
		}
	}
	return all
}

// rule is it as the package alert wants it.
func (r AlertRule) rule(name string) alert.Rule {
	least, most := statuses(r.When.Status)
	return alert.Rule{
		Name: name, Severity: alert.Severity(r.Severity), Means: r.Means, Do: r.Do, Per: alert.Per(r.Per), Different: alert.Aspect(r.Different),
		Most: r.MoreThan, Over: r.Within.Duration, What: r.counted(),
		When: alert.When{
			Class: audit.Class(r.When.Class), Codes: r.When.Code, Decision: audit.Decision(r.When.Decision), API: r.When.API, Endpoint: r.When.Endpoint,
			Method: r.When.Method, Status: alert.Statuses{Least: least, Most: most},
		},
	}
}

// counted says what a rule counts.
func (r *AlertRule) counted() string {
	what := "events"
	if r.Different != "" {
		what = r.Different + "s"
	}
	switch w := r.When; {
	case len(w.Code) > 0:
		return what + " with " + strings.Join(w.Code, " or ")
	case w.Decision != "":
		return what + " of what was " + w.Decision
	case w.Status != "":
		return what + " with the status " + w.Status
	case w.Class != "":
		return what + " of the class " + w.Class
	}
	return what + " that it looks for"
}

// statuses are the bounds that a text means; zeros for none.
func statuses(text string) (least, most int) {
	form := regexp.MustCompile(`^(>=|<=|>|<)?([0-9]+)(?:-([0-9]+))?$`).FindStringSubmatch(text)
	if form == nil {
		return 0, 0
	}
	n, _ := strconv.Atoi(form[2])
	switch form[1] {
	case ">=":
		return n, 999
	case ">":
		return n + 1, 999
	case "<=":
		return 1, n
	case "<":
		return 1, n - 1
	}
	if form[3] != "" {
		most, _ = strconv.Atoi(form[3])
		return n, most
	}
	return n, n
}

// checkDetecting finds what can be read of detections and cannot work; within is the path of
// what holds them, "" in a file of rules.
func (l *loader) checkDetecting(within string, d *Detecting) {
	own := map[string]alert.Kind{}
	for _, k := range alert.Detections() {
		own[k.Name] = k
	}
	names := append(sortedKeys(own), sortedKeys(d.Rules)...)
	path := join(within, "off")
	for i, name := range d.Off {
		if !slices.Contains(names, name) {
			l.at(l.word(path, i), didYouMean(name, names, "pavise log replay --list shows them"), "there is no detection %q", name)
		}
	}
	for _, name := range sortedKeys(d.Thresholds) {
		at, k := join(within, "thresholds."+name), own[name]
		most := 1_000_000
		if k.Different {
			most = alert.MaxDifferent
		}
		switch n := d.Thresholds[name]; {
		case k.Name == "":
			l.atKey(at, didYouMean(name, sortedKeys(own), "a rule of your own has more_than"), "there is no detection %q", name)
		case k.Most == 0:
			l.atKey(at, "name it in off, if it is not wanted", "%s fires with the first sign, and has no threshold", name)
		case n < 1 || n > most:
			l.at(at, fmt.Sprintf("write 1 to %d", most), "%d is no threshold for this", n)
		}
	}
	for _, name := range sortedKeys(d.Rules) {
		at := join(within, "rules."+name)
		if own[name].Name != "" {
			l.atKey(at, "give it another name", "a detection of ours has this name")
		}
		l.checkAlertRule(at, d.Rules[name])
	}
}

// word is the path of a word of a list, or of the list where the word stands alone.
func (l *loader) word(path string, i int) string {
	if at := fmt.Sprintf("%s.%d", path, i); l.file.places[at].source != nil {
		return at
	}
	return path
}

func (l *loader) checkAlertRule(path string, r AlertRule) {
	if reflect.ValueOf(r.When).IsZero() {
		l.at(path+".when", "write class: request, or a code", "every event would count")
	}
	for i, code := range r.When.Code {
		if near := nearest(code, alert.Codes()); near != "" && near != code && !slices.Contains(alert.Codes(), code) {
			l.at(l.word(path+".when.code", i), "did you mean "+near+"?", "no event has the code %q", code)
		}
	}
	if least, most := statuses(r.When.Status); least > most {
		l.at(path+".when.status", "write the lower one first", "no status is in %s", r.When.Status)
	}
	l.checkWhere(path+".when", &r.When)
	if ofSystem := r.When.Class == "admin" || r.When.Class == "system"; ofSystem && r.Per != "actor" && r.Per != "target" || !ofSystem && r.Per == "actor" && r.When.Class != "" {
		l.at(path+".per", "per: target goes with class: admin and class: system, per: actor with class: admin", "events of the class %s have no %s", r.When.Class, r.Per)
	}
	switch {
	case r.Different != "" && r.Different == r.Per:
		l.at(path+".different", "count different ones of something else", "each %s has one %s", r.Per, r.Per)
	case r.Different != "" && r.MoreThan > alert.MaxDifferent:
		l.at(path+".more_than", fmt.Sprintf("write at most %d", alert.MaxDifferent), "more than %d different ones cannot be told apart", alert.MaxDifferent)
	}
}

// checkWhere looks for the API and the endpoint, which a misspelled name would never match.
func (l *loader) checkWhere(path string, w *AlertWhen) {
	names := sortedKeys(l.file.APIs)
	if w.API != "" {
		if _, ok := l.file.APIs[w.API]; !ok {
			l.at(path+".api", didYouMean(w.API, names, "name one of apis"), "there is no API %q", w.API)
			return
		}
		names = []string{w.API}
	}
	if w.Endpoint == "" {
		return
	}
	var patterns []string
	for _, name := range names {
		patterns = append(patterns, sortedKeys(l.file.APIs[name].Endpoints)...)
	}
	if !slices.Contains(patterns, w.Endpoint) {
		l.at(path+".endpoint", didYouMean(w.Endpoint, patterns, "write it as apis has it"), "there is no endpoint %q", w.Endpoint)
	}
}

// LoadDetecting reads a file that holds what stands under alerts of what is watched for, to see
// what it would do beside a configuration.
func LoadDetecting(name string, beside *File) (*Detecting, error) {
	text, err := readFile(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read the rules %s: %s", name, reason(err))
	}
	return ParseDetecting(Source{Name: name, Text: text}, beside)
}

// ParseDetecting reads what LoadDetecting does from memory.
func ParseDetecting(src Source, beside *File) (*Detecting, error) {
	src.begin = "write rules: and detections of your own"
	file := *beside // whose APIs rules may name
	file.places = places{"": {&src, Pos{src.Name, 1, 1}, Pos{src.Name, 1, 1}}}
	l, d := &loader{file: &file, name: src.Name}, &Detecting{}
	if l.read(&src, d, false) {
		l.checkDetecting("", d)
	}
	if len(l.problems) > 0 {
		return nil, l.problems.sorted(src.Name)
	}
	return d, nil
}

// With is what is watched for with what another file adds: its rules and thresholds go before,
// and what it has off is off too.
func (d Detecting) With(more *Detecting) Detecting {
	d.Off = append(slices.Clone(d.Off), more.Off...)
	d.Thresholds, d.Rules = maps.Clone(d.Thresholds), maps.Clone(d.Rules)
	for name, n := range more.Thresholds {
		put(&d.Thresholds, name, n)
	}
	for name, r := range more.Rules {
		put(&d.Rules, name, r)
	}
	return d
}
