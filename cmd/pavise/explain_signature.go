package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield/hmac"
)

// signatureFlags are a signed text that is compared with a recorded request.
type signatureFlags struct{ id, text string }

func (f *signatureFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.id, "signature", "", "request id of a signed request that was refused; with --string")
	flags.StringVar(&f.text, "string", "", "`FILE` with the text that the caller signed, or what pavise call --debug showed; - for stdin")
}

// comparison is a signed text beside a recorded request, for programs.
type comparison struct {
	Request string `json:"request"`
	Code    string `json:"code,omitempty"`
	Why     string `json:"why,omitempty"`

	hmac.Comparison

	Unknown []string `json:"unknown"` // what an event cannot tell
}

func (f *signatureFlags) run(command *cobra.Command, asJSON bool) error {
	if f.text == "" {
		return &usageError{"want the text that was signed", "--string FILE, or --string - for stdin; `pavise call --debug` shows it"}
	}
	text, err := readText(f.text, command.InOrStdin())
	if err != nil {
		return err
	}
	known := hmac.Judged{}
	if body := command.Flags().Lookup("body"); body.Changed {
		if f.text == "-" && body.Value.String() == "@-" {
			return &usageError{"text and body cannot both come from stdin", "name a file for one of them"}
		}
		known.HasBody = true
		if known.Body, err = readData(body.Value.String(), command.InOrStdin()); err != nil {
			return err
		}
	}
	file, err := app.Load(configPath(command))
	if err != nil {
		file = nil // the gateway that runs may know enough
	}
	return administer(command, func(ctx context.Context, a *admin.Client) error {
		c, err := f.compare(ctx, a, file, text, known)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(command.OutOrStdout(), c)
		}
		return showSigned(command.OutOrStdout(), c)
	})
}

func (f *signatureFlags) compare(ctx context.Context, a *admin.Client, file *config.File, text string, known hmac.Judged) (*comparison, error) {
	x, err := a.Explain(ctx, f.id)
	if err != nil {
		return nil, err
	}
	e, err := audit.ParseJSON(x.Event)
	if err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	if e.Class != audit.Request {
		return nil, &usageError{fmt.Sprintf("%.80q is no request", f.id), "`pavise log search --code invalid_signature` shows those whose signature did not match"}
	}
	known.ID, known.Time, known.Method, known.Host, known.Path, known.Query = e.CredentialID, e.Time, e.Method, e.Host, e.Path, e.Query
	if settings := signing(file, &e); settings != nil {
		known.Required, known.Window = settings.Headers, settings.Window
	}
	if known.Algorithm, err = algorithmOf(ctx, a, e.CredentialID); err != nil {
		return nil, err
	}
	found, err := hmac.Compare(text, known)
	if err != nil {
		return nil, err
	}
	c := &comparison{Request: f.id, Code: e.Code, Why: e.Detail, Comparison: found, Unknown: []string{
		"values of headers and the body are not recorded: their lines are judged by their form alone",
		"whether the secret is the right one: if no line differs, compare how it is read (its characters are the key) and which key it is of",
	}}
	if !known.HasBody {
		c.Unknown = append(c.Unknown, "the digest: --body @FILE compares it with the body that was sent")
	}
	return c, nil
}

// algorithmOf is that of a key; empty if there is none.
func algorithmOf(ctx context.Context, a *admin.Client, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	all, err := a.Credentials(ctx, "", "hmac")
	if err != nil {
		return "", err
	}
	for _, c := range all {
		if c.ID == id {
			return firstOf(c.Settings["algorithm"], "hmac-sha256"), nil
		}
	}
	return "", nil
}

// signing are the settings of the shield that judged the signature; nil: not known.
func signing(file *config.File, e *audit.Event) *hmac.Config {
	if file == nil {
		return nil
	}
	all, err := file.Resolve()
	if err != nil {
		return nil
	}
	for _, r := range all {
		if r.API == e.API && r.Pattern == e.Endpoint {
			return signingOf(*r.Shield)
		}
	}
	return nil
}

func signingOf(s config.Shield) *hmac.Config {
	if found, ok := s.Config.(*hmac.Config); ok {
		return found
	}
	for _, part := range s.Any {
		if found := signingOf(part); found != nil {
			return found
		}
	}
	for _, part := range s.All {
		if found := signingOf(part.Shield); found != nil {
			return found
		}
	}
	return nil
}

// readText reads a file, or stdin, of bounded length.
func readText(name string, in io.Reader) (string, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("read the signed text: %w", err)
		}
		defer func() { _ = file.Close() }() // only read
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, hmac.MaxSigned+1))
	if err != nil {
		return "", fmt.Errorf("read the signed text: %w", err)
	}
	return string(text), nil
}

func showSigned(out io.Writer, c *comparison) error {
	d := &drawing{out: out, color: isTerminal(out)}
	d.pairs([][2]string{{"request", c.Request}, {"code", c.Code}, {"why", c.Why}})
	if len(c.Form) > 0 {
		d.title("The text as a whole")
		for _, wrong := range c.Form {
			d.line("  " + paint(d.color, "31", "✗") + " " + oneLine(wrong))
		}
	}
	d.title("Line by line")
	for _, l := range c.Lines {
		mark := map[hmac.Verdict]string{hmac.Same: paint(d.color, "32", "="), hmac.Differs: paint(d.color, "31", "✗")}[l.Verdict]
		if mark == "" {
			mark = paint(d.color, "2", "?")
		}
		d.line(strings.TrimRight(fmt.Sprintf("  %s %-12s %s", mark, l.Name, oneLine(l.Signed)), " "))
		if l.Verdict == hmac.Differs && l.Gateway != l.Signed && (l.Gateway != "" || l.Name == "query") {
			d.line(strings.TrimRight(fmt.Sprintf("    %-12s %s", "the gateway", oneLine(l.Gateway)), " "))
		}
		if l.Note != "" {
			d.line(fmt.Sprintf("    %-12s %s", "", oneLine(l.Note)))
		}
	}
	if !c.Differs() {
		d.title("Nothing differs of what the event shows")
	}
	d.title("Not known")
	for _, unknown := range c.Unknown {
		d.line("  " + unknown)
	}
	return d.err
}
