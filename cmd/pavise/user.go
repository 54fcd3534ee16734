package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
)

func userCommand() *cobra.Command {
	command := &cobra.Command{Use: "user", Short: "Accounts of people who sign in: create, list, show, disable, enable, reset, sign out, delete"}
	command.AddCommand(
		userCreate(), userList(), userShow(), userSessions(),
		userAct("disable", "Keep an account from signing in, and end all that it has and granted", "is disabled, signed out, and what it granted is revoked"),
		userAct("enable", "Let a disabled account sign in again", "may sign in again"),
		userAct("reset-password", "Give an account a temporary password, shown once, and sign it out", "has a temporary password"),
		userAct("reset-totp", "Take away an account's authenticator app and recovery codes", "has no authenticator app"),
		userAct("sign-out", "Sign an account out everywhere, and revoke what it granted", "is signed out everywhere, and what it granted is revoked"),
		userAct("delete", "Remove an account with all that it has and granted", "is deleted"),
	)
	return command
}

func userCreate() *cobra.Command {
	var n admin.NewUser
	var fromStdin, quiet, asJSON bool
	command := &cobra.Command{
		Use: "create NAME", Short: "Add an account; its temporary password is shown once", Args: cobra.ExactArgs(1),
		Example: "  pavise user create ann --full-name \"Ann Example\" --email ann@example.com",
		RunE: func(command *cobra.Command, args []string) error {
			n.Name = args[0]
			if fromStdin {
				text, err := io.ReadAll(io.LimitReader(command.InOrStdin(), maxSecret))
				if err != nil {
					return fmt.Errorf("read the password: %w", err)
				}
				if n.Password = strings.TrimRight(string(text), "\r\n"); n.Password == "" {
					return &usageError{"there is no password on stdin", "write it there, or leave --password-stdin out"}
				}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := a.CreateUser(ctx, n)
				if err != nil {
					return err
				}
				return showUser(command, made, "is there", quiet, asJSON)
			})
		},
	}
	flags := command.Flags()
	flags.StringVar(&n.FullName, "full-name", "", "how the person is called")
	flags.StringVar(&n.Email, "email", "", "where they get mail")
	flags.BoolVar(&fromStdin, "password-stdin", false, "read the password from stdin instead of making a temporary one")
	flags.BoolVarP(&quiet, "quiet", "q", false, "write the temporary password alone")
	jsonFlag(command, &asJSON)
	return command
}

func showUser(command *cobra.Command, made admin.MadeUser, what string, quiet, asJSON bool) error {
	out := command.OutOrStdout()
	var err error
	switch {
	case asJSON:
		return writeJSON(out, made)
	case quiet && made.Password != "":
		_, err = fmt.Fprintln(out, made.Password)
	case made.Password == "":
		_, err = fmt.Fprintf(out, "user %s %s\n", made.User.Name, what)
	default:
		_, err = fmt.Fprintf(out, "user %s %s\n\n  %s\n\nThis password is shown once. It is good for a day and has to be changed at the first sign-in.\n", made.User.Name, what, made.Password)
	}
	return err
}

func userList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List accounts", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Users(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), list)
				}
				rows := make([][]string, 0, len(list))
				for _, u := range list {
					app := ""
					if u.TOTP {
						app = "yes"
					}
					rows = append(rows, []string{u.Name, state(u.Disabled != ""), u.FullName, u.Email, app, shortTime(u.Created), u.Subject})
				}
				return table(command.OutOrStdout(), []string{"USER", "STATE", "CALLED", "E-MAIL", "APP", "CREATED", "SUBJECT"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func userShow() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "show NAME", Short: "Show an account", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				u, err := a.User(ctx, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), u)
				}
				app := "no"
				if u.TOTP {
					app = "yes"
				}
				return table(command.OutOrStdout(), []string{"user", u.Name}, [][]string{
					{"state", state(u.Disabled != "")},
					{"why", u.Disabled},
					{"called", u.FullName},
					{"e-mail", u.Email},
					{"app", app},
					{"created", shortTime(u.Created)},
					{"subject", u.Subject},
				})
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func userSessions() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "sessions NAME", Short: "List where an account is signed in, newest first", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Sessions(ctx, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), list)
				}
				rows := make([][]string, 0, len(list))
				for _, v := range list {
					rows = append(rows, []string{shortTime(v.Since), shortTime(v.Seen), shortTime(v.Ends), v.Remote, v.Via, v.Agent})
				}
				return table(command.OutOrStdout(), []string{"SINCE", "SEEN", "ENDS", "ADDRESS", "VIA", "BROWSER"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func userAct(name, short, done string) *cobra.Command {
	var quiet, asJSON bool
	command := &cobra.Command{
		Use: name + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := a.ChangeUser(ctx, args[0], name)
				if err != nil {
					return err
				}
				return showUser(command, made, done, quiet, asJSON)
			})
		},
	}
	if name == "reset-password" {
		command.Flags().BoolVarP(&quiet, "quiet", "q", false, "write the temporary password alone")
	}
	jsonFlag(command, &asJSON)
	return command
}
