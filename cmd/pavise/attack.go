package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/shell"
)

// attackFlags are what an attack is made of.
type attackFlags struct {
	openapi, admin             string
	users, allow               []string
	only                       []string
	resume, failOn, waivers    string
	format, out, ca            string
	listen, listenAs           string
	rate                       int
	plain, all, listed, asJSON bool
	cases                      bool // are listed

	self, through bool
	from          string
	tokens        []string
}

func attackCommand() *cobra.Command {
	f := &attackFlags{}
	command := &cobra.Command{
		Use: "attack URL", Short: "Test an API from outside, as an attacker would", Args: cobra.MaximumNArgs(1),
		Long: `Test an API from outside, as an attacker would, and report what is wrong: each finding with a
request to paste, its severity, its place in the standards, and what mends it.

The OpenAPI document says what there is. Users are named with --as NAME=FILE, where the file has
the header lines of a credential ("Authorization: Bearer …"), or --as NAME=PROFILE, a profile as
` + "`pavise call --profile`" + ` takes it. With two users their objects are crossed. --admin names somebody who
may call what ordinary users may not.

With --self, or a URL and -c FILE, the gateway that runs with that configuration is attacked: the
policy says which answer every attack must get. It makes its own credentials, for a quarter of an
hour, and answers by itself what is accepted of them; no service is asked unless --reach-upstream.

Nothing is changed unless it is allowed: --allow writes (POST, PUT, PATCH), destroys (DELETE),
floods (many or large requests), smuggles, delays (has the service wait some seconds for a
request, to find what shows by nothing else). Only the target itself is asked; no redirect and no
reference of the document is followed. Test only what is yours, or what you were asked to test.

With --listen HOST:PORT the target is given addresses there to call: what it fetches without telling,
and from where it takes keys, is found by that. Who runs the test must be reached there by the target.

--only CASE tries again what a report names, after it was mended; --list lists all cases.

A target that asks for a pause (429, Retry-After) is given it, and asked more slowly from then on. One that
refuses everything for longer ends the run, and so does Ctrl-C: with the report so far, and how to go on.

Exit codes: 0 nothing of --fail-on or above was found, 1 something was, or the run ended early, 2 wrong usage,
3 the target cannot be reached.`,
		Example: `  pavise attack https://api.example.com --openapi api.yaml
  pavise attack https://staging.example.com --openapi api.yaml --as alice=alice.headers --as bob=bob.headers --allow writes,destroys
  pavise attack https://staging.example.com --openapi api.yaml --as alice=shop --only 'sql-injection GET /v1/orders'
  pavise attack --self -c pavise.yaml --allow smuggles,floods
  pavise attack https://staging.example.com --openapi api.yaml --as alice=shop --format html --out report.html --fail-on medium`,
		RunE: func(command *cobra.Command, args []string) error {
			if f.listed {
				return listAttacks(command, f.asJSON)
			}
			if f.isOwn(command, args) {
				return runOwnAttack(command, f, args)
			}
			if len(args) != 1 {
				return &usageError{"no target is named", "pavise attack https://api.example.com --openapi api.yaml; the gateway itself: pavise attack --self -c pavise.yaml"}
			}
			return runAttack(command, f, args[0])
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.openapi, "openapi", "", "the API's OpenAPI document, a file")
	flags.StringArrayVar(&f.users, "as", nil, "NAME=FILE with header lines, or NAME=PROFILE; at most twice")
	flags.StringVar(&f.admin, "admin", "", "NAME=FILE or NAME=PROFILE of an administrator")
	flags.StringSliceVar(&f.allow, "allow", nil, "what may be done: "+strings.Join(attack.DemandWords(), ", "))
	flags.StringArrayVar(&f.only, "only", nil, "try only this case, or those of this rule; * stands for anything; may be repeated")
	flags.StringVar(&f.listen, "listen", "", "HOST:PORT of this machine, where the target may call")
	flags.StringVar(&f.listenAs, "listen-as", "", "the URL by which the target reaches --listen, where that is another: http://tester.example.com:8099")
	flags.StringVar(&f.resume, "resume", "", "go on with the run of this journal, or begin it")
	flags.StringVar(&f.failOn, "fail-on", "high", "end with 1 if something of this severity or above is found: critical, high, medium, low, info or none")
	flags.StringVar(&f.waivers, "waivers", "", "a file of waivers; with --self beside those of the configuration")
	flags.StringVar(&f.format, "format", "table", "table, json, sarif, junit or html")
	flags.StringVar(&f.out, "out", "", "write the report to a file; default: stdout")
	flags.IntVar(&f.rate, "rate", 50, "requests in a second, at most")
	flags.StringVar(&f.ca, "ca", "", "CA of the target's certificate, PEM; default: the system's")
	flags.BoolVar(&f.plain, "insecure-plain-http", false, "send credentials over plain HTTP, where others can read them")
	flags.BoolVar(&f.self, "self", false, "attack the gateway that runs with this configuration (-c); also: a URL and -c")
	flags.BoolVar(&f.through, "reach-upstream", false, "with --self: accepted requests reach the services")
	flags.StringVar(&f.from, "from", "", "with --self: the network from which the gateway sees the test, 192.0.2.0/28; default: found out")
	flags.StringArrayVar(&f.tokens, "token", nil, "with --self: ISSUER=FILE with a good token of an issuer that is not the gateway's own, or ISSUER for $PAVISE_TOKEN; twice: of another caller")
	flags.BoolVar(&f.all, "all", false, "the table shows every place")
	flags.BoolVar(&f.listed, "rules", false, "list what is looked for instead")
	flags.BoolVar(&f.cases, "list", false, "list the cases instead, with what each must be allowed")
	jsonFlag(command, &f.asJSON)
	return command
}

// attackRun is an attack that is ready.
type attackRun struct {
	*attackFlags

	target  string
	least   finding.Severity
	fails   bool
	allowed attack.Demand
	waivers []finding.Waiver
	prober  *attack.Prober
	called  *attack.Listener // where the target may call; nil: nowhere
	journal *attack.Journal
	name    string // of the journal
	doubted bool   // all was tried, and says little
	short   string // why little was tried, however the run went
	tried   int    // cases that say something
}

func runAttack(command *cobra.Command, f *attackFlags, target string) (err error) {
	r := &attackRun{attackFlags: f, target: target}
	if err := r.read(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	users, admin, err := f.people(ctx)
	if err != nil {
		return err
	}
	if err := r.mayCarry(len(users) > 0 || admin != nil); err != nil {
		return err
	}
	if err := r.listenForCalls(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.endListening()) }()
	plan, err := r.plan(users, admin)
	if err != nil {
		return err
	}
	if err := r.choose(plan); err != nil {
		return err
	}
	if f.cases {
		return listCases(command, plan, f.asJSON)
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	defer r.prober.Close()
	if plan, err = r.reach(ctx, plan); err != nil {
		return err
	}
	if err := r.openJournal(); err != nil {
		return err
	}
	report, err := r.try(ctx, command, plan)
	if err != nil {
		return err
	}
	if plan.Partial != "" && report.Partial == "" {
		report.Partial = plan.Partial
	}
	r.short = plan.Partial
	r.doubted = plan.Doubt != nil && report.Partial != "" && report.Partial == plan.Doubt()
	return r.end(command, report, ctx.Err() != nil, plan.Partial == "" && report.Partial != "" && !r.doubted)
}

// try runs the cases.
func (r *attackRun) try(ctx context.Context, command *cobra.Command, plan *attack.Plan) (*finding.Report, error) {
	bar := newProgress(command.ErrOrStderr(), time.Now)
	report, err := attack.Run(ctx, r.prober, plan, attack.Options{
		Allowed: r.allowed, Journal: r.journal, Again: r.again(configPath(command)),
		Progress: func(at attack.Progress) {
			if at.Outcome == attack.Held || at.Outcome == attack.Fell {
				r.tried++
			}
			bar.tell(at)
		},
	})
	return report, errors.Join(err, r.journal.Close())
}

// again is the command of this attack, as far as it decides on what is tried.
func (r *attackRun) again(config string) string {
	words := []string{"pavise", "attack"}
	flag := func(name string, values ...string) {
		for _, value := range values {
			if value != "" {
				words = append(words, name, shell.Word(value))
			}
		}
	}
	if r.self && r.target == "" {
		words = append(words, "--self")
	}
	if r.target != "" {
		words = append(words, shell.Word(r.target))
	}
	if r.self {
		flag("-c", config)
	}
	flag("--openapi", r.openapi)
	flag("--as", r.users...)
	flag("--admin", r.admin)
	flag("--ca", r.ca)
	flag("--from", r.from)
	flag("--token", r.tokens...)
	if r.through {
		words = append(words, "--reach-upstream")
	}
	return strings.Join(words, " ")
}

// choose leaves the cases that are to be tried, and refuses those that may not be.
func (r *attackRun) choose(plan *attack.Plan) error {
	if len(r.only) == 0 {
		return nil
	}
	if err := plan.Only(r.only); err != nil {
		return &usageError{"--only: " + err.Error(), "--list lists the cases; * stands for anything"}
	}
	if lacks := plan.Lacks(r.allowed); lacks != 0 && !r.cases {
		return &usageError{"--only names what must not be tried", "it needs --allow " + strings.Join(lacks.Words(), ",")}
	}
	return nil
}

// listCases shows the cases of a plan.
func listCases(command *cobra.Command, plan *attack.Plan, asJSON bool) error {
	type listed struct {
		Case     string           `json:"case"`
		Rule     string           `json:"rule"`
		Severity finding.Severity `json:"severity"`
		Row      int              `json:"row,omitzero"` // of docs/attacks.md
		Allow    []string         `json:"allow"`
	}
	all := make([]listed, 0, len(plan.Cases))
	rows := make([][]string, 0, len(plan.Cases))
	for i := range plan.Cases {
		c := &plan.Cases[i]
		all = append(all, listed{c.ID, c.Rule.ID, c.Rule.Severity, c.Row, append([]string{}, c.Demands.Words()...)})
		rows = append(rows, []string{printable(c.ID), c.Rule.Severity.String(), strings.Join(c.Demands.Words(), ",")})
	}
	if asJSON {
		return writeJSON(command.OutOrStdout(), all)
	}
	return table(command.OutOrStdout(), []string{"CASE", "SEVERITY", "ALLOW"}, rows)
}

// listenForCalls opens the address at which the target may call.
func (r *attackRun) listenForCalls(ctx context.Context) (err error) {
	switch {
	case r.listen == "" && r.listenAs != "":
		return &usageError{"--listen-as without --listen", "--listen HOST:PORT listens on this machine"}
	case r.listen == "" || r.cases:
		return nil
	}
	if r.called, err = attack.Listen(ctx, r.listen, r.listenAs); errors.Is(err, attack.ErrListener) {
		return &usageError{"--listen: " + err.Error(), "an address of this machine that the target reaches: --listen 192.0.2.7:8099; behind a router also --listen-as http://tester.example.com:8099"}
	}
	return err
}

func (r *attackRun) endListening() error {
	if r.called == nil {
		return nil
	}
	return r.called.Close()
}

// read understands the flags.
func (r *attackRun) read() (err error) {
	if r.openapi == "" && !r.self {
		return &usageError{"--openapi is missing: without a description there is nothing to ask for", "name the API's OpenAPI document: --openapi api.yaml"}
	}
	if len(r.tokens) > 0 && !r.self {
		return &usageError{"--token is for --self", "other APIs are asked as --as says"}
	}
	if r.asJSON {
		r.format = "json"
	}
	if !slices.Contains(finding.Forms(), r.format) {
		return &usageError{fmt.Sprintf("--format: there is no form %q", r.format), strings.Join(finding.Forms(), ", ")}
	}
	if r.fails = r.failOn != "none"; r.fails {
		if r.least, err = finding.ParseSeverity(r.failOn); err != nil {
			return &usageError{"--fail-on: " + err.Error(), "critical, high, medium, low, info or none"}
		}
	}
	if r.rate < 1 || r.rate > 10_000 {
		return &usageError{"--rate is not from 1 to 10000", ""}
	}
	for _, word := range r.allow {
		demand, err := attack.ParseDemand(word)
		if err != nil {
			return &usageError{"--allow: " + err.Error(), strings.Join(attack.DemandWords(), ", ")}
		}
		r.allowed |= demand
	}
	r.waivers, err = readWaivers(r.attackFlags.waivers)
	return err
}

// mayCarry refuses to send credentials where others can read them. On this machine nobody is on the
// way.
func (r *attackRun) mayCarry(credentials bool) error {
	u, err := url.Parse(r.target)
	if err != nil || u.Scheme != "http" || !credentials || r.plain {
		return nil // what is no address is told elsewhere
	}
	if addr, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && addr.IsLoopback() {
		return nil
	}
	return &usageError{"a credential is not sent over plain HTTP, where others can read it", "use https://, or --insecure-plain-http for credentials that are worth nothing"}
}

func (r *attackRun) plan(users []*attack.User, admin *attack.User) (*attack.Plan, error) {
	text, err := readDocument(r.openapi)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(r.target)
	plan, fault := foreign.Plan(foreign.Target{
		Document: text, Name: r.openapi, Base: err == nil && strings.Trim(u.Path, "/") == "", Users: users, Admin: admin, Allowed: r.allowed, Listener: r.called,
	})
	if fault != nil {
		return nil, &usageError{fault.Error(), "OpenAPI 3.0 and 3.1 are read, in YAML or JSON; `pavise check FILE` tells more"}
	}
	return plan, nil
}

func (r *attackRun) open(ctx context.Context) (err error) {
	settings := attack.Settings{Target: r.target, PerSecond: r.rate}
	if r.ca != "" {
		if settings.Roots, err = readCA(r.ca); err != nil {
			return err
		}
		settings.Paste = "--cacert " + shell.Quoted(r.ca)
	}
	if r.prober, err = attack.NewProber(ctx, settings); err != nil {
		return &usageError{err.Error(), "write https://api.example.com, with a path if the API is below one"}
	}
	return nil
}

// unreachableError is a target that does not answer.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// reach asks the target once. Where its certificate cannot be verified only that is looked at: nothing
// secret goes there.
func (r *attackRun) reach(ctx context.Context, plan *attack.Plan) (*attack.Plan, error) {
	err := foreign.Reach(ctx, r.prober)
	switch {
	case err == nil:
		return plan, nil
	case errors.Is(err, foreign.ErrCertificate):
		only := foreign.OnlyTransport()
		only.Partial = "the target's certificate cannot be verified: nothing else was tried, so that no credential goes there; --ca names its authority"
		return only, nil
	}
	return nil, &unreachableError{err}
}

// openJournal goes on with a run, or keeps a journal so that somebody can.
func (r *attackRun) openJournal() (err error) {
	if r.name = r.resume; r.name == "" {
		file, err := os.CreateTemp("", "pavise-attack-*.journal")
		if err != nil {
			return fmt.Errorf("begin the journal of the run: %w", err)
		}
		if r.name = file.Name(); file.Close() != nil {
			return fmt.Errorf("begin the journal of the run: %s cannot be written", r.name)
		}
	}
	r.journal, err = attack.OpenJournal(r.name, r.prober.Scope().Base().String())
	return err
}

// end writes the report, and says what it comes to: broken by whoever runs it, or ended by the target.
func (r *attackRun) end(command *cobra.Command, report *finding.Report, broken, ended bool) error {
	if len(r.only) > 0 && r.tried == 0 && report.Partial == "" {
		report.Partial = "nothing of what --only names could be tried: it is neither there nor gone"
	}
	report.Waive(r.waivers, !broken && !ended && len(r.only) == 0)
	if err := r.write(command.OutOrStdout(), report); err != nil {
		return err
	}
	if broken {
		return &hinted{errors.New("the attack was broken off"), "the report has what was found so far; go on with the same command and --resume " + r.name}
	}
	if ended {
		return &hinted{errors.New("the attack could not go on: " + report.Partial), "the report has what was found so far; wait as long as the target asks, or until it is there again, and go on with the same command and --resume " + r.name + ", with a lower --rate if it counts requests"}
	}
	if r.resume == "" {
		if err := os.Remove(r.name); err != nil {
			return fmt.Errorf("remove the journal of the run: %w", err)
		}
	}
	if r.doubted {
		return &hinted{errors.New("the attack says little: no operation took one good request"), "mend what the report names (the path of servers, the credentials, the document's examples), and attack again"}
	}
	if n := report.At(r.least); r.fails && n > 0 {
		hint := "each says what mends it; --fail-on says from which severity on it counts"
		if report.Findings[0].Case != "" {
			hint = "each says what mends it; then the same command with its --only tries that again; --fail-on says from which severity on it counts"
		}
		return &hinted{fmt.Errorf("%s of severity %s or above", counted(n, "finding"), r.least), hint}
	}
	if r.short != "" { // that finding is waived, or does not count: the rest is unknown all the same
		return &hinted{errors.New("the attack says little: " + r.short), "waive what is accepted; what was not tried is unknown"}
	}
	if len(r.only) > 0 && r.tried == 0 {
		return &hinted{errors.New("nothing of what --only names could be tried"), "it needs a good request: give users with --as, examples in the document, or --allow, as when it was found"}
	}
	return nil
}

func (r *attackRun) write(out io.Writer, report *finding.Report) (err error) {
	style := finding.Style{Color: r.out == "" && isTerminal(out), All: r.all, FailOn: r.least}
	if r.out == "" {
		return finding.Write(out, r.format, style, report)
	}
	file, err := os.OpenFile(r.out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() { // it may have been there before
		if err := file.Chmod(0o600); err != nil {
			return fmt.Errorf("keep the report from others: %w", err)
		}
	}
	if err := finding.Write(file, r.format, style, report); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\nthe report is in %s\n", printable(report.Summary()), r.out)
	return err
}

// listAttacks shows what is looked for.
func listAttacks(command *cobra.Command, asJSON bool) error {
	rules := slices.Concat(foreign.Rules(), own.Rules())
	if asJSON {
		return writeJSON(command.OutOrStdout(), rules)
	}
	rows := make([][]string, 0, len(rules))
	for _, r := range rules {
		rows = append(rows, []string{r.ID, r.Severity.String(), r.Risk(), r.Title})
	}
	return table(command.OutOrStdout(), []string{"RULE", "SEVERITY", "OWASP", "WHAT"}, rows)
}
