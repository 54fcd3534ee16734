package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/shell"
)

// isOwn reports whether the gateway of a configuration is attacked.
func (f *attackFlags) isOwn(command *cobra.Command, args []string) bool {
	return f.self || len(args) == 1 && f.openapi == "" && command.Flags().Changed("config")
}

func runOwnAttack(command *cobra.Command, f *attackFlags, args []string) error {
	f.self = true
	r := &attackRun{attackFlags: f}
	if len(args) == 1 {
		r.target = args[0]
	}
	if err := r.read(); err != nil {
		return err
	}
	if f.openapi != "" || len(f.users) > 0 || f.admin != "" || f.listen != "" || f.listenAs != "" {
		return &usageError{"--openapi, --as, --admin and --listen are for other APIs", "a gateway of yours knows its policy, and makes its own credentials"}
	}
	file, err := app.Load(configPath(command))
	if err != nil {
		return err
	}
	g := own.Gateway{File: file, Kinds: app.Kinds(), Through: f.through, Allowed: r.allowed, PerSecond: f.rate}
	if g.Tokens, err = readTokens(f.tokens, file, os.Getenv); err != nil {
		return err
	}
	if len(args) == 1 {
		if g.Address, err = addressOf(args[0]); err != nil {
			return err
		}
	}
	if f.from != "" {
		if g.From, err = netip.ParsePrefix(f.from); err != nil {
			return &usageError{fmt.Sprintf("--from %.40q is no network", f.from), "192.0.2.7/32, or 2001:db8::/64"}
		}
	}
	if r.cases {
		plan, err := own.List(command.Context(), g)
		if err != nil {
			return err
		}
		if err := r.choose(plan); err != nil {
			return err
		}
		return listCases(command, plan, f.asJSON)
	}
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		g.Admin = a
		return r.attackOwn(command, g)
	})
}

// maxGiven is the longest file of a token, in bytes.
const maxGiven = 16 << 10

// readTokens reads what --token names: ISSUER=FILE, or ISSUER for the environment.
func readTokens(given []string, file *config.File, env func(string) string) (map[string][]secret.Value, error) {
	all := map[string][]secret.Value{}
	for _, one := range given {
		issuer, name, isFile := strings.Cut(one, "=")
		if _, known := file.Issuers[issuer]; !known {
			return nil, &usageError{fmt.Sprintf("--token: the configuration has no issuer %.60q", issuer), "its issuers: " + strings.Join(slices.Sorted(maps.Keys(file.Issuers)), ", ") + "; for the gateway's own it makes tokens itself"}
		}
		text := env("PAVISE_TOKEN")
		if isFile {
			whole, err := readPrivate("token", name, maxGiven)
			if err != nil {
				return nil, err
			}
			text = string(whole)
		}
		text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "Bearer "))
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, &usageError{fmt.Sprintf("--token %s: there is no token on one line", issuer), "--token ISSUER=FILE with the token alone in the file, or --token ISSUER and PAVISE_TOKEN; never the token itself: command lines are seen by others"}
		}
		if len(all[issuer]) > 0 && all[issuer][0].Equal([]byte(text)) {
			return nil, &usageError{fmt.Sprintf("--token %s: both are the same token", issuer), "name two files with tokens of two callers"}
		}
		if all[issuer] = append(all[issuer], secret.New([]byte(text))); len(all[issuer]) > 2 {
			return nil, &usageError{fmt.Sprintf("--token %s is given more than twice", issuer), "two callers suffice: the proof of one is put beside that of the other"}
		}
	}
	return all, nil
}

// addressOf is host and port of a URL.
func addressOf(target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return "", &usageError{fmt.Sprintf("%.100q is no address of a gateway", target), "write https://api.example.com or https://127.0.0.1:8443"}
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

func (r *attackRun) attackOwn(command *cobra.Command, g own.Gateway) (err error) {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	status, err := g.Admin.Status(ctx)
	if err != nil {
		return err
	}
	if !status.Running {
		return &unreachableError{fmt.Errorf("no gateway runs with %s: start it with pavise serve", g.File.Path)}
	}
	var files []string
	if g.Roots, files, err = app.RootsOf(ctx, g.File, g.Admin, r.ca); err != nil {
		return err
	}
	if len(files) > 0 {
		g.Paste = "--cacert " + shell.Quoted(files[len(files)-1])
	}
	run, err := own.Open(ctx, g)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		err = errors.Join(err, run.Close(ending))
	}()
	if err := r.choose(run.Plan()); err != nil {
		return err
	}
	r.prober = run.Prober()
	if err := foreign.Reach(ctx, r.prober); errors.Is(err, foreign.ErrCertificate) {
		return &unreachableError{&hinted{err, "--ca names its authority; no credential goes where nobody proves who he is"}}
	} else if err != nil {
		return &unreachableError{err}
	}
	if err := r.openJournal(); err != nil {
		return err
	}
	report, err := r.try(ctx, command, run.Plan())
	if err != nil {
		return err
	}
	if err := run.Lost(); err != nil {
		return &hinted{fmt.Errorf("another attack began meanwhile, and ended the credentials of this one: %w", err), "nothing of it counts; wait for the end of the other, and attack again"}
	}
	ended := report.Partial != ""
	run.Complete(report)
	app.Waive(g.File, report)
	return r.end(command, report, ctx.Err() != nil, ended)
}

// endTime is how long the end of the credentials may take.
const endTime = 30 * time.Second
