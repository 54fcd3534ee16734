package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pavise.dev/pavise/internal/check/leaks"
)

// In a panic people type the key itself where its id belongs. What a command is given stands in
// its errors, in the log, in what is kept: a secret must not get so far. Where a credential's id is
// wanted, a key of ours is taken for its id, which it carries; anywhere else it is refused.

// takesID names the commands whose argument is the id of a credential.
func takesID() []string {
	return []string{"revoke", "key revoke", "key rotate", "key narrow", "suspend", "unsuspend"}
}

// takesSecrets names the commands, and the flags of others, that are there to be given secrets.
func takesSecrets() (commands, flags []string) {
	return []string{"call", "token inspect", "attack"}, []string{"header", "body"}
}

// guardSecrets has every command look at what it was given before it does anything.
func guardSecrets(c *cobra.Command) {
	for _, below := range c.Commands() {
		guardSecrets(below)
	}
	run := c.RunE
	if run == nil {
		return
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		args, err := withoutSecrets(c, args)
		if err != nil {
			return err
		}
		return run(c, args)
	}
}

// withoutSecrets are the arguments with ids for keys; --lost is changed where it stands.
func withoutSecrets(c *cobra.Command, args []string) ([]string, error) {
	name := strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
	commands, open := takesSecrets()
	if slices.Contains(commands, name) {
		return args, nil
	}
	var wrong error
	c.Flags().Visit(func(f *pflag.Flag) {
		l, found := leaks.First(f.Value.String())
		switch {
		case !found || wrong != nil || slices.Contains(open, f.Name):
		case f.Name == "lost" && isKey(l, f.Value.String()):
			tellID(c, l)
			wrong = f.Value.Set(l.ID)
		default:
			wrong = secretGiven("--"+f.Name, l)
		}
	})
	if wrong != nil {
		return nil, wrong
	}
	if name == "explain" && c.Flags().Changed("as") {
		return args, nil // a request that is not sent, nor recorded
	}
	args = slices.Clone(args)
	for i, arg := range args {
		l, found := leaks.First(arg)
		switch {
		case !found:
		case slices.Contains(takesID(), name) && isKey(l, arg):
			tellID(c, l)
			args[i] = l.ID
		default:
			return nil, secretGiven(c.CommandPath(), l)
		}
	}
	return args, nil
}

// isKey reports whether a text is a whole key, or secret of one, and nothing else: it carries its id.
func isKey(l leaks.Leak, text string) bool {
	return l.IsOfStore() && l.Secret == text
}

func tellID(c *cobra.Command, l leaks.Leak) {
	if asJSON := c.Flags().Lookup("json"); asJSON != nil && asJSON.Changed {
		return // stderr is for one line of JSON
	}
	_, _ = fmt.Fprintf(c.ErrOrStderr(), "of the key that you gave, the id is %s; next time give the id: the shell's history keeps what is typed\n", l.ID) // it goes on all the same
}

func secretGiven(where string, l leaks.Leak) error {
	hint := "give its id, which `pavise key list` shows; the shell's history keeps what is typed"
	if l.IsOfStore() {
		hint = "its id is " + l.ID + ": give that; the shell's history keeps what is typed"
	}
	return &usageError{fmt.Sprintf("%s was given a secret, %s: nothing was done, and it is kept nowhere", where, l.What()), hint}
}
