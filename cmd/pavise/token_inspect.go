package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
)

// maxToken is the longest input that is read for a token, in bytes: an answer of a token
// endpoint holds more than the token.
const maxToken = 64 << 10

func tokenInspect() *cobra.Command {
	var q admin.Inspection
	var certificate string
	var asJSON bool
	command := &cobra.Command{
		Use: "inspect [TOKEN | -]", Short: "What a token is, and what each endpoint would answer to it", Args: cobra.MaximumNArgs(1),
		Long: `Decode an access token, say whether its signature is good, and what each endpoint of
the configuration in force would answer to a request with it, and why. Nothing is sent,
used up or counted; what depends on the request itself is named as not judged. An opaque
token of our own server is looked up.

The token is read from stdin: on the command line it would stay in the shell's history,
where others may read it. What a token endpoint answered (JSON), or a whole Authorization
header, is taken as well. That a token was inspected leaves an event with its digest.`,
		Example: `  pavise token inspect < token
  pavise token get -q --profile report | pavise token inspect
  pavise token inspect --certificate client.pem < token`,
		RunE: func(command *cobra.Command, args []string) error {
			text, err := tokenText(command, args)
			if err != nil {
				return err
			}
			if q.Token, err = tokenIn(text); err != nil {
				return err
			}
			if certificate != "" {
				if q.Certificate, err = readBounded(certificate, maxToken/4); err != nil {
					return fmt.Errorf("--certificate: %w", err)
				}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				found, err := a.Inspect(ctx, q)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), found)
				}
				return showInspected(command.OutOrStdout(), &found)
			})
		},
	}
	command.Flags().StringVar(&certificate, "certificate", "", "`file` with the certificate (PEM) that the caller would present; its key is not needed")
	command.Flags().StringVar(&q.Address, "address", "", "address that the caller would have")
	jsonFlag(command, &asJSON)
	return command
}

// tokenText is what the user gave: on stdin, or, although it stays in the history, on the
// command line.
func tokenText(command *cobra.Command, args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		_, err := fmt.Fprintln(command.ErrOrStderr(), "warning: a token on the command line stays in the shell's history, and others see it in the list of processes; pipe it instead: pavise token inspect < FILE")
		return args[0], err
	}
	in := command.InOrStdin()
	if file, ok := in.(*os.File); ok && isPerson(file) {
		if _, err := fmt.Fprint(command.ErrOrStderr(), "paste the token, then Enter and Ctrl-D:\n"); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(in, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if len(text) > maxToken {
		return "", &usageError{fmt.Sprintf("there are more than %d bytes on stdin", maxToken), "give one token"}
	}
	return string(text), nil
}

// tokenIn finds the token in what was given: the token alone, the value of a header, or
// the answer of a token endpoint.
func tokenIn(text string) (string, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		var answer struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Token == "" {
			return "", &usageError{"there is JSON without an access_token", "give the token alone, or the answer of the token endpoint"}
		}
		return answer.Token, nil
	}
	if name, value, ok := strings.Cut(text, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "authorization") {
		text = strings.TrimSpace(value)
	}
	if scheme, value, ok := strings.Cut(text, " "); ok && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "dpop")) {
		text = strings.TrimSpace(value)
	}
	switch {
	case text == "":
		return "", &usageError{"there is no token", "pavise token inspect < FILE"}
	case strings.ContainsAny(text, " \t\r\n"):
		return "", &usageError{"there is more than one word", "give one token; was a line break copied with it?"}
	}
	return text, nil
}

func showInspected(out io.Writer, t *admin.Inspected) error {
	now := t.Time
	rows := [][2]string{
		{"token", map[string]string{"jwt": "JWT", "opaque": "opaque"}[t.Form] + ", " + t.Digest},
		{"note", t.Note},
		{"issuer", issuerText(t)},
		{"signature", signatureText(t.Signature)},
		{"in force", activeText(t)},
		{"issued", moment(t.IssuedAt, now)},
		{"not before", moment(t.NotBefore, now)},
		{"expires", moment(t.Expires, now)},
		{"bound to", t.BoundTo},
	}
	if err := pairs(out, rows); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		text json.RawMessage
	}{{"header", t.Header}, {"claims", t.Claims}} {
		if err := showMembers(out, part.name, part.text); err != nil {
			return err
		}
	}
	return showJudged(out, t.Endpoints)
}

func issuerText(t *admin.Inspected) string {
	switch {
	case t.Issuer != nil:
		return t.Issuer.Name + ", " + t.Issuer.URL
	case t.Form == "jwt":
		return "none that is configured"
	case t.Note != "":
		return ""
	}
	return "not ours; endpoints that can ask other issuers do so"
}

func signatureText(s *admin.Signature) string {
	switch {
	case s == nil:
		return ""
	case !s.Good:
		return "NOT GOOD: " + s.Why
	}
	text := "good, " + s.Algorithm
	if s.KeyID != "" {
		text += " by key " + s.KeyID
	}
	if s.KeyState != "" {
		text += " (" + s.KeyState + ")"
	}
	return text
}

func activeText(t *admin.Inspected) string {
	switch {
	case t.Active == nil:
		return ""
	case *t.Active:
		return "yes, the server stands by it"
	}
	return "no: " + t.Ended
}

// moment is a time, and how far away it is.
func moment(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	text := at.UTC().Format("2006-01-02 15:04:05Z")
	switch apart := at.Sub(now).Round(time.Second); {
	case apart > 0:
		return text + ", in " + apart.String()
	case apart < 0:
		return text + ", " + (-apart).String() + " ago"
	}
	return text + ", now"
}

// showMembers writes a JSON object by its members, in the order that they have.
func showMembers(out io.Writer, heading string, text json.RawMessage) error {
	if len(text) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", heading); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("read the %s: %w", heading, err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("read the %s: %w", heading, err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return fmt.Errorf("read the %s: %w", heading, err)
		}
		if _, err := fmt.Fprintf(out, "  %-12s %s\n", line(fmt.Sprint(name)), line(memberText(fmt.Sprint(name), value))); err != nil {
			return err
		}
	}
	return nil
}

// line keeps a text on its line.
func line(text string) string { return strings.ReplaceAll(printable(text), "\n", " ") }

// memberText is a text without quotes, and a moment in words beside the number.
func memberText(name string, value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	switch name {
	case "exp", "iat", "nbf", "auth_time", "updated_at":
		if seconds, err := strconv.ParseFloat(string(value), 64); err == nil && seconds > 0 && seconds < 1<<40 {
			return string(value) + "  " + time.Unix(int64(seconds), 0).UTC().Format("2006-01-02 15:04:05Z")
		}
	}
	return string(value)
}

func showJudged(out io.Writer, all []admin.Judged) error {
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	rows := make([][]string, 0, len(all))
	var unknown []string
	for i := range all {
		j := &all[i]
		rows = append(rows, []string{j.API, j.Endpoint, answerText(j), whyText(j)})
		for _, what := range j.Unknown {
			if !slices.Contains(unknown, what) {
				unknown = append(unknown, what)
			}
		}
	}
	if err := table(out, []string{"API", "ENDPOINT", "ANSWER", "WHY"}, rows); err != nil {
		return err
	}
	unknown = append(unknown, "lock-outs, bodies and how many requests are under way")
	_, err := fmt.Fprintf(out, "\nnot judged: %s\n", strings.Join(unknown, "; "))
	return err
}

func answerText(j *admin.Judged) string {
	switch j.Answer {
	case admin.AnswerAccepted, admin.AnswerNeeds:
		return j.Answer
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", j.Status, j.Code))
}

// whyText is what the operator wants to know first.
func whyText(j *admin.Judged) string {
	needs := strings.Join(j.Needs, ", ")
	missing := strings.Join(j.Missing, " ")
	switch {
	case j.Answer == admin.AnswerNeeds:
		return fmt.Sprintf("%s; without: %d %s", needs, j.Status, j.Code)
	case needs != "" && missing != "":
		return "needs " + needs + "; and lacks " + missing
	case j.Answer == admin.AnswerAccepted && j.Client != "":
		who := "client " + j.Client
		if j.User != "" {
			who += ", user " + j.User
		}
		return who
	}
	return cmp.Or(j.Why, j.Code)
}
