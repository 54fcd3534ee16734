package learn

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/advise/nginx"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/route"
)

// FromNginx reads nginx's file and proposes what follows. Folder and base are those of the main
// file; thereIs says whether a file that nginx names can be read here.
func FromNginx(folder fs.FS, base, name string, thereIs func(string) bool) (*Proposal, error) {
	all, unread, err := nginx.Read(folder, base, name)
	if err != nil {
		return nil, err
	}
	t := &translator{thereIs: thereIs, upstreams: map[string][]string{}, zones: map[string]zone{}, names: map[string]bool{}, plans: map[string]*plan{}}
	for _, u := range unread {
		where, what, _ := strings.Cut(u, ": ")
		t.gap("include-unread", where, what, "copy the files below one folder, and name the main one there")
	}
	t.contexts(all, nil)
	return t.proposal(), nil
}

// context is a block within others. Settings of those outside hold where it says nothing itself.
type context struct {
	outer *context
	at    *nginx.Directive // nil: the file itself
	all   []nginx.Directive
}

// own are the directives of a name that stand in the block itself.
func (c *context) own(name string) (found []*nginx.Directive) {
	for i := range c.all {
		if c.all[i].Name == name {
			found = append(found, &c.all[i])
		}
	}
	return found
}

// every is what holds for a name: the block's own, else those of the nearest one outside. That is
// nginx's rule: a block that says something says all of it.
func (c *context) every(name string) []*nginx.Directive {
	for ; c != nil; c = c.outer {
		if found := c.own(name); len(found) > 0 {
			return found
		}
	}
	return nil
}

// one is the directive that holds; nil: there is none.
func (c *context) one(name string) *nginx.Directive {
	if found := c.every(name); len(found) > 0 {
		return found[0]
	}
	return nil
}

// says is the first argument of what holds, else otherwise.
func (c *context) says(name, otherwise string) string {
	if d := c.one(name); d != nil {
		return d.Arg(0)
	}
	return otherwise
}

// zone is a rate of limit_req_zone.
type zone struct {
	key  string
	rate string // 600/minute
	per  int    // requests a minute
}

// plan is an API that is being put together.
type plan struct {
	api       advise.API
	endpoints []advise.Endpoint
}

type translator struct {
	thereIs   func(string) bool
	upstreams map[string][]string
	zones     map[string]zone
	names     map[string]bool // of APIs
	plans     map[string]*plan
	order     []string // of plans
	left      []advise.Left
	gaps      []Gap
}

// maxGaps bounds what is told.
const maxGaps = 2_000

func (t *translator) gap(rule, where, what, do string) {
	g := Gap{rule, where, what, do}
	if len(t.gaps) < maxGaps && !slices.Contains(t.gaps, g) {
		t.gaps = append(t.gaps, g)
	}
}

// contexts looks for servers, wherever they stand: in http, or in a file that http includes.
func (t *translator) contexts(all []nginx.Directive, outer *context) {
	c := &context{outer: outer, all: all}
	for i := range all {
		switch d := &all[i]; d.Name {
		case "upstream":
			for j := range d.Block {
				if d.Block[j].Name == "server" && !slices.Contains(d.Block[j].Args, "down") && !slices.Contains(d.Block[j].Args, "backup") {
					t.upstreams[d.Arg(0)] = append(t.upstreams[d.Arg(0)], d.Block[j].Arg(0))
				}
			}
		case "limit_req_zone":
			t.zone(d)
		}
	}
	for i := range all {
		switch d := &all[i]; d.Name {
		case "http":
			t.contexts(d.Block, c)
		case "server":
			if d.Block != nil {
				t.server(&context{outer: c, at: d, all: d.Block})
			}
		case "stream", "mail":
			t.left = append(t.left, advise.Left{What: d.Place() + " " + d.Name, Why: "it carries no HTTP"})
		}
	}
}

var nginxRate = regexp.MustCompile(`^rate=([1-9][0-9]{0,6})r/([sm])$`)

func (t *translator) zone(d *nginx.Directive) {
	z := zone{key: d.Arg(0)}
	name := ""
	for _, arg := range d.Args {
		if rest, ok := strings.CutPrefix(arg, "zone="); ok {
			name, _, _ = strings.Cut(rest, ":")
		}
		if m := nginxRate.FindStringSubmatch(arg); m != nil {
			z.per, _ = strconv.Atoi(m[1]) // digits, as the pattern says
			if m[2] == "s" {
				z.per *= 60
			}
			z.rate = strconv.Itoa(z.per) + "/minute"
		}
	}
	if name == "" || z.rate == "" {
		t.gap("limit-unread", d.Place(), "the rate of limit_req_zone cannot be read", "write limit: 600/minute per client")
		return
	}
	t.zones[name] = z
}

// server reads one server with its locations.
func (t *translator) server(c *context) {
	hosts := t.hosts(c)
	host := hosts[0]
	if redirects(c) {
		return // it only sends callers to https
	}
	locations := 0
	t.locations(c, host, &locations)
	if locations == 0 && c.own("proxy_pass") == nil {
		t.left = append(t.left, advise.Left{What: c.at.Place() + " server " + host, Why: "nothing in it is passed on to a service: files, redirects and other protocols are not for a gateway of APIs"})
		return
	}
	t.serverGaps(c, hosts)
}

// hosts are the names of a server that callers can use.
func (t *translator) hosts(c *context) (names []string) {
	for _, d := range c.own("server_name") {
		for _, name := range d.Args {
			switch {
			case name == "_" || name == "":
			case strings.HasPrefix(name, "~") || strings.Contains(name, "*") || strings.HasPrefix(name, ".") || !hostForm.MatchString(strings.ToLower(name)):
				t.gap("host-pattern", d.Place(), fmt.Sprintf("server_name %.80s stands for many names", name), "name each host under hosts: Pavise answers for no other")
			default:
				names = append(names, strings.ToLower(name))
			}
		}
	}
	if len(names) == 0 {
		t.gap("host-any", c.at.Place(), "the server answers for any name", "name the host under hosts")
		return []string{"127.0.0.1"}
	}
	return names
}

// redirects reports whether a server does nothing but send callers elsewhere.
func redirects(c *context) bool {
	for _, d := range c.own("return") {
		if code := d.Arg(0); strings.HasPrefix(code, "30") && len(c.own("location")) == 0 {
			return true
		}
	}
	return false
}

// locations reads those of a block, and those within them.
func (t *translator) locations(c *context, host string, found *int) {
	for _, d := range c.own("location") {
		l := &context{outer: c, at: d, all: d.Block}
		t.location(l, host, found)
		t.locations(l, host, found)
	}
}

// location makes endpoints of one that passes on what it gets.
func (t *translator) location(c *context, host string, found *int) {
	pass := first(c.own("proxy_pass"), c.own("grpc_pass"))
	kind, path := "", c.at.Arg(0)
	if len(c.at.Args) > 1 {
		kind, path = c.at.Arg(0), c.at.Arg(1)
	}
	switch {
	case pass == nil:
		t.notPassed(c, kind, path)
		return
	case kind == "~" || kind == "~*":
		*found++
		t.left = append(t.left, advise.Left{What: fmt.Sprintf("%s location %s %.80s", c.at.Place(), kind, path), Why: "a regular expression can match what nobody meant; list the endpoints that it stands for"})
		return
	case strings.HasPrefix(path, "@"):
		return // other locations lead to it
	}
	*found++
	t.locationGaps(c, path)
	upstream, ok := t.upstream(c, pass)
	if !ok {
		return
	}
	paths, why := patternsOf(kind, path)
	if why != "" {
		t.left = append(t.left, advise.Left{What: fmt.Sprintf("%s location %.80s", c.at.Place(), path), Why: why})
		return
	}
	p := t.plan(c, host, upstream, path)
	answers, guessed, settings := t.answers(c, path)
	for _, path := range paths {
		for _, method := range t.methods(c) {
			e := advise.Endpoint{Pattern: method + " " + path, Answers: answers, Guessed: slices.Clone(guessed), Settings: settings}
			if method == "GET" {
				e.Settings = slices.DeleteFunc(slices.Clone(settings), func(s string) bool { return strings.HasPrefix(s, "max_body") })
			}
			e.Complete()
			p.endpoints = append(p.endpoints, e)
		}
	}
}

func first(lists ...[]*nginx.Directive) *nginx.Directive {
	for _, list := range lists {
		if len(list) > 0 {
			return list[0]
		}
	}
	return nil
}

// notPassed tells of locations that serve something else.
func (t *translator) notPassed(c *context, kind, path string) {
	for _, name := range []string{"fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass"} {
		if d := first(c.own(name)); d != nil {
			t.left = append(t.left, advise.Left{What: fmt.Sprintf("%s location %s %.80s", d.Place(), kind, path), Why: name + " is no HTTP: let the service, or nginx behind Pavise, speak HTTP"})
		}
	}
	t.servedGaps(c, path)
}

var placeForm = regexp.MustCompile(`^[A-Za-z0-9._~!&'()+,=@/-]*$`)

// patternsOf are the paths that a location's name stands for.
func patternsOf(kind, path string) (paths []string, why string) {
	switch {
	case !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || !placeForm.MatchString(path) || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./"):
		return nil, "its name has characters that the door refuses"
	case kind == "=" && path == "/":
		return []string{"/{$}"}, ""
	case kind == "=" && strings.HasSuffix(path, "/"):
		return []string{path + "{$}"}, ""
	case kind == "=":
		return []string{path}, ""
	case strings.HasSuffix(path, "/"):
		return []string{path + "{path...}"}, ""
	}
	return []string{path, path + "/{path...}"}, ""
}

// upstream is where a location passes requests to: "http://a:1 http://b:2".
func (t *translator) upstream(c *context, pass *nginx.Directive) (string, bool) {
	scheme, rest, ok := strings.Cut(pass.Arg(0), "://")
	leave := func(why string) (string, bool) {
		t.left = append(t.left, advise.Left{What: fmt.Sprintf("%s proxy_pass %.80s", pass.Place(), pass.Arg(0)), Why: why})
		return "", false
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	switch {
	case strings.Contains(pass.Arg(0), "$"):
		return leave("whoever sends the request has a say in where it goes: name the upstream")
	case pass.Name == "grpc_pass" && !ok:
		scheme, authority, hasPath = "http", pass.Arg(0), false
	case pass.Name == "grpc_pass":
		scheme = map[string]string{"grpc": "http", "grpcs": "https"}[scheme]
	case !ok || scheme != "http" && scheme != "https":
		return leave("it is no address of a service")
	}
	if strings.HasPrefix(authority, "unix:") {
		return leave("Pavise reaches upstreams over TCP: let the service listen on 127.0.0.1")
	}
	if own := c.at.Arg(len(c.at.Args) - 1); hasPath && "/"+path != own {
		t.gap("path-rewritten", pass.Place(), fmt.Sprintf("nginx sends /%.60s in the place of %.60s", path, own), "Pavise sends on what was checked: let the service serve the path that callers see")
	}
	servers := t.upstreams[authority]
	if len(servers) == 0 {
		servers = []string{authority}
	}
	var all []string
	for _, s := range servers {
		if !strings.Contains(s, ":") {
			s += map[string]string{"http": ":80", "https": ":443"}[scheme]
		}
		if !serverForm.MatchString(s) || !config.IsUpstream(scheme+"://"+s) {
			return leave("one of its servers cannot be named in a configuration")
		}
		all = append(all, scheme+"://"+s)
	}
	return strings.Join(all, " "), true
}

// plan is the API of a host and an upstream.
func (t *translator) plan(c *context, host, upstream, path string) *plan {
	key := host + " " + upstream
	if p := t.plans[key]; p != nil {
		return p
	}
	p := &plan{api: advise.API{Name: t.name(path, host), Host: host, Upstream: upstream}}
	if ca := c.one("ssl_client_certificate"); ca != nil && t.thereIs(ca.Arg(0)) {
		p.api.Partners = ca.Arg(0)
	}
	cert, key2 := c.one("ssl_certificate"), c.one("ssl_certificate_key")
	if cert != nil && key2 != nil && t.thereIs(cert.Arg(0)) && t.thereIs(key2.Arg(0)) {
		p.api.Cert, p.api.Key = cert.Arg(0), key2.Arg(0)
	}
	for _, d := range c.every("add_header") {
		if origin := d.Arg(1); strings.EqualFold(d.Arg(0), "Access-Control-Allow-Origin") && originForm.MatchString(origin) {
			p.api.Origins = []string{origin}
		}
	}
	t.plans[key] = p
	t.order = append(t.order, key)
	return p
}

var (
	originForm = regexp.MustCompile(`^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	hostForm   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	serverForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$`)
)

// name makes an API's name of the first word of a path, else of the host.
func (t *translator) name(path, host string) string {
	base := ""
	for segment := range strings.SplitSeq(path, "/") {
		if word := strings.Trim(notInAPIs.ReplaceAllString(strings.ToLower(segment), "-"), "-"); word != "" && word != "api" && !versionForm.MatchString(word) {
			base = word
			break
		}
	}
	base = cmp.Or(base, strings.Trim(notInAPIs.ReplaceAllString(strings.Split(host, ".")[0], "-"), "-"), "api")
	if _, err := netip.ParseAddr(host); err == nil && base == strings.Split(host, ".")[0] {
		base = "api"
	}
	base = base[:min(len(base), 40)]
	name := base
	for i := 2; t.names[name] || name == "pavise" || name == "resource-metadata" || name == "enrolment"; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	t.names[name] = true
	return name
}

var (
	notInAPIs   = regexp.MustCompile(`[^a-z0-9]+`)
	versionForm = regexp.MustCompile(`^v[0-9]+$`)
)

// methods are those that a location lets through.
func (t *translator) methods(c *context) []string {
	all := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	if d := first(c.own("limit_except")); d != nil {
		kept := slices.DeleteFunc(slices.Clone(all), func(m string) bool { return !slices.Contains(d.Args, m) })
		if len(kept) > 0 {
			return kept
		}
	}
	for _, d := range slices.Concat(c.own("if"), c.outer.own("if")) {
		if m := methodTest.FindStringSubmatch(strings.Join(d.Args, " ")); m != nil {
			kept := slices.DeleteFunc(slices.Clone(all), func(one string) bool { return !slices.Contains(strings.Split(m[1], "|"), one) })
			if len(kept) > 0 {
				return kept
			}
		}
	}
	return all
}

var methodTest = regexp.MustCompile(`^\(?\$request_method !~ \^?\(?((?:[A-Z]+\|?)+)\)?\$?\)?$`)

// answers are what a location tells of who calls, and settings that are taken over.
func (t *translator) answers(c *context, path string) (a advise.Answers, guessed []advise.Guess, settings []string) {
	because := func(rule, why string, callers ...advise.Caller) {
		if a.Callers == nil {
			a.Callers = callers
			guessed = append(guessed, advise.Guess{Question: "callers", Rule: rule, Why: why})
		}
	}
	if verify := c.says("ssl_verify_client", "off"); verify != "off" {
		because("nginx-client-certificates", "nginx asks for client certificates, as of machines that can hold a key", advise.Service)
	}
	if c.says("auth_jwt", "off") != "off" || c.says("auth_request", "off") != "off" {
		because("nginx-tokens", "nginx has somebody else judge tokens or sessions", advise.Browser, advise.Mobile)
	}
	if c.says("auth_basic", "off") != "off" {
		because("nginx-basic", "nginx asks for passwords, as of applications", advise.ThirdParty)
	}
	if allowed := c.every("allow"); len(allowed) > 0 && c.says("deny", "") == "all" && !slices.ContainsFunc(allowed, func(d *nginx.Directive) bool { return !isInside(d.Arg(0)) }) {
		because("nginx-inside", "nginx lets in the networks of the inside alone", advise.Service)
	}
	if d := c.one("limit_req"); d != nil {
		a.Rate = t.rate(d)
	}
	if size, ok := sizeOf(c.says("client_max_body_size", "1m")); ok {
		settings = append(settings, "max_body: "+strconv.FormatInt(size, 10))
	}
	if timeout, ok := secondsOf(c.says("proxy_read_timeout", "60s")); ok {
		settings = append(settings, "timeout: "+strconv.Itoa(timeout)+"s")
	}
	return a, guessed, settings
}

func isInside(network string) bool {
	if prefix, err := netip.ParsePrefix(network); err == nil {
		return prefix.Addr().IsPrivate() || prefix.Addr().IsLoopback()
	}
	addr, err := netip.ParseAddr(network)
	return err == nil && (addr.IsPrivate() || addr.IsLoopback())
}

// rate is a limit as Pavise has it: nginx's burst are those that may come at once beyond the first.
func (t *translator) rate(d *nginx.Directive) string {
	burst := 1
	name := ""
	for _, arg := range d.Args {
		if rest, ok := strings.CutPrefix(arg, "zone="); ok {
			name = rest
		}
		if rest, ok := strings.CutPrefix(arg, "burst="); ok {
			if n, err := strconv.Atoi(rest); err == nil && n >= 0 && n < 1_000_000 {
				burst = n + 1
			}
		}
	}
	z, ok := t.zones[name]
	if !ok {
		return ""
	}
	if z.key != "$binary_remote_addr" && z.key != "$remote_addr" {
		t.gap("limit-key", d.Place(), fmt.Sprintf("the rate counts for %.60s, which callers may choose", z.key), "Pavise counts for who was proved: client, user; or the address")
	}
	return fmt.Sprintf("%s burst %d", z.rate, min(burst, z.per))
}

// sizeOf reads nginx's sizes; 0 is no bound, and not taken over.
func sizeOf(text string) (int64, bool) {
	m := sizeForm.FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return 0, false
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // digits, as the pattern says
	size := n * map[string]int64{"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[m[2]]
	return size, size > 0 && size <= 1<<40
}

var (
	sizeForm = regexp.MustCompile(`^([0-9]{1,10})([kmg]?)$`)
	timeForm = regexp.MustCompile(`^([0-9]{1,6})(s|m|h)?$`)
)

func secondsOf(text string) (int, bool) {
	m := timeForm.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.Atoi(m[1]) // digits, as the pattern says
	n *= map[string]int{"": 1, "s": 1, "m": 60, "h": 3600}[m[2]]
	return n, n >= 1 && n <= 3600
}

// proposal judges what was found.
func (t *translator) proposal() *Proposal {
	p := &Proposal{}
	hosts := map[string]*route.Table[bool]{}
	known := map[string]bool{}
	for _, key := range t.order {
		one := t.plans[key]
		if hosts[one.api.Host] == nil {
			hosts[one.api.Host] = route.New[bool]()
		}
		again := func(e advise.Endpoint) bool { // a server on another port says the same
			at := one.api.Host + " " + e.Pattern
			defer func() { known[at] = true }()
			return known[at]
		}
		kept, unfit := advise.Fit(hosts[one.api.Host], slices.DeleteFunc(one.endpoints, again))
		t.left = append(t.left, unfit...)
		if len(kept) == 0 {
			continue
		}
		judged := advise.Advise(one.api, kept)
		judged.API = one.api
		p.Plans = append(p.Plans, judged)
	}
	if len(p.Plans) > 0 {
		p.Plans[0].Left = t.left
	}
	for _, l := range t.left {
		t.gap("not-taken-over", l.What, l.Why, "write the endpoints by hand, or learn them from a log: pavise init --learn pavise-data/log")
	}
	slices.SortStableFunc(t.gaps, func(a, b Gap) int { return cmp.Compare(rank(a.Rule), rank(b.Rule)) })
	p.Open = t.gaps
	return p
}

// rank puts the gravest gaps first.
func rank(rule string) int {
	at := slices.IndexFunc(gapRules(), func(g gapRule) bool { return g.ID == rule })
	if at < 0 {
		return len(gapRules())
	}
	return at
}
