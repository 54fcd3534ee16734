// Command pavise guards HTTP APIs, and keeps what that takes.
//
// Exit codes: 0 done; 1 it did not work; 2 the command line or the configuration
// is wrong; 3 refused: by the gateway for `call`, by an authorization server, by a rule for administration
// and for `explain --as`; for `attack`, the target cannot be reached.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/oauthclient"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/lock"
)

// The exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	if err := root.ExecuteContext(ctx); err != nil {
		if slices.Contains(args, "--json") {
			tellJSON(errs, err)
		} else {
			tell(errs, err)
		}
		return exitOf(err)
	}
	return 0
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "pavise",
		Short: "Put the right security shield on any API endpoint",
		Long: `Put the right security shield on any API endpoint.

  pavise demo                                    see it work
  pavise init --upstream http://127.0.0.1:3000   write a configuration
  pavise serve                                   run the gateway
  pavise client create shop --scope orders:read  who may call
  pavise key create --client shop                with what

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused.`,
		SilenceUsage: true, SilenceErrors: true, Version: version(),
	}
	root.SetVersionTemplate("pavise {{.Version}}\n")
	root.PersistentFlags().StringP("config", "c", "pavise.yaml", "configuration file")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{err.Error(), "`" + c.CommandPath() + " --help` shows the flags"}
	})
	addGrouped(root, groupBegin, "Put it in front of an API:",
		demoCommand(), adviseCommand(), initCommand(), checkCommand(), serveCommand(), statusCommand(), reloadCommand(), schemaCommand())
	addGrouped(root, groupCaller, "Say who may call, and call:",
		clientCommand(), keyCommand(), userCommand(), caCommand(), certCommand(), signingKeyCommand(), tokenCommand(), callCommand())
	addGrouped(root, groupStop, "Stop somebody:",
		revokeCommand(), suspendCommand(), unsuspendCommand(), blockCommand(), unblockCommand(), quotaCommand())
	addGrouped(root, groupSee, "See what happened, and why:",
		logCommand(), explainCommand(), metricsCommand())
	addGrouped(root, groupProve, "Test it, and take away what is not needed:",
		attackCommand(), reviewCommand(), scheduleCommand(), findingsCommand(), apisCommand())
	root.AddCommand(jwksCommand(), storeCommand(), versionCommand())
	root.SetHelpFunc(showHelp)
	refuseUnknown(root)
	guardSecrets(root)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// refuseUnknown makes a command within a command that there is not an error: help, and an
// exit that says all went well, would let a script believe that it has revoked something.
func refuseUnknown(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		refuseUnknown(c)
		if !c.HasSubCommands() || c.Runnable() {
			continue
		}
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			c.SuggestionsMinimumDistance = 2
			hint := "`" + c.CommandPath() + " --help` lists what there is"
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
			}
			return &usageError{fmt.Sprintf("%s has no command %.40q", c.CommandPath(), args[0]), hint}
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
}

func configPath(c *cobra.Command) string {
	path, _ := c.Flags().GetString("config") // it is one of the root's
	return path
}

// usageError is a command line that cannot work.
type usageError struct{ message, hint string }

func (e *usageError) Error() string { return e.message }

// refusedError is an answer that says no; the answer itself is printed already.
type refusedError struct{ message string }

func (e *refusedError) Error() string { return e.message }

// badLogError is a log that does not verify.
type badLogError struct{ message string }

func (e *badLogError) Error() string { return e.message }

func exitOf(err error) int {
	var problems config.Problems
	var usage *usageError
	var refused *refusedError
	var server *oauthclient.Error
	var badLog *badLogError
	var p *admin.Problem
	var unreachable *unreachableError
	switch {
	case errors.As(err, &badLog):
		return exitFailed
	case errors.As(err, &problems), errors.As(err, &usage), errors.Is(err, config.ErrUnread):
		return exitUsage
	case errors.As(err, &refused), errors.As(err, &unreachable):
		return exitRefused
	case errors.As(err, &server):
		return exitRefused
	case errors.As(err, &p) && p.Status < 500:
		return exitRefused
	case strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "accepts "), strings.HasPrefix(err.Error(), "requires "), strings.HasPrefix(err.Error(), "required flag"):
		return exitUsage // cobra's own, which have no type
	}
	return exitFailed
}

// tell writes an error for a person: what, why, and what to try next. An error may quote what
// was typed: no secret of that is shown.
func tell(w io.Writer, err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		problems.Format(w, isTerminal(w))
		return
	}
	_, _ = fmt.Fprintf(w, "pavise: %s\n", printable(leaks.MaskTyped(err.Error()))) // there is nobody else to tell
	if hint := hintFor(err); hint != "" {
		_, _ = fmt.Fprintf(w, "hint: %s\n", printable(leaks.MaskTyped(hint)))
	}
}

// tellJSON writes an error for a program, on one line.
func tellJSON(w io.Writer, err error) {
	told := struct {
		Error string `json:"error"`
		Code  string `json:"code,omitempty"` // of the gateway's answer
		Hint  string `json:"hint,omitempty"`
		Exit  int    `json:"exit"`
	}{Error: leaks.MaskTyped(err.Error()), Hint: leaks.MaskTyped(hintFor(err)), Exit: exitOf(err)}
	if p, ok := errors.AsType[*admin.Problem](err); ok {
		told.Code = p.Code
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(told) // there is nobody else to tell
}

// hintFor is the next thing to try.
func hintFor(err error) string {
	var usage *usageError
	var p *admin.Problem
	var known *hinted
	switch {
	case errors.As(err, &known):
		return known.hint
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &p):
		return p.Hint
	case errors.Is(err, lock.ErrLocked):
		return "let that one end, or stop it; where it is a gateway, use the same -c, so that its socket is found"
	case errors.Is(err, seal.ErrWrongKey):
		return "state.master_key must name the key file that this data folder was made with; restore it from where you keep a copy"
	case errors.Is(err, client.ErrRolledBack):
		return "`pavise serve --accept-restored` is that leave. Nothing was written"
	case errors.Is(err, client.ErrCorrupt), errors.Is(err, seal.ErrTampered):
		return "restore the data folder from a backup; nothing was written"
	case errors.Is(err, os.ErrPermission):
		return "run it as the user whom the file or folder belongs to; commands about the installation, as the one that the gateway runs as"
	case strings.Contains(err.Error(), "can be read by others"):
		return "chmod 600 the file; if others could read it for long, rotate what it protects"
	}
	return ""
}
