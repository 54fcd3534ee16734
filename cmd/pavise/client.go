package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/client"
)

func clientCommand() *cobra.Command {
	command := &cobra.Command{Use: "client", Short: "Who may call: create, list, show, update, disable, enable, invite"}
	command.AddCommand(clientCreate(), clientList(), clientShow(), clientUpdate(), clientSwitch("disable", "Refuse all credentials of a client"), clientSwitch("enable", "Put a disabled client in force again"), clientInvite())
	return command
}

func clientCreate() *cobra.Command {
	var n admin.NewClient
	var attributes map[string]string
	var registered registrationFlags
	var asJSON bool
	command := &cobra.Command{
		Use: "create ID", Short: "Add a client: an application, service, partner or device", Args: cobra.ExactArgs(1),
		Example: `  pavise client create shop --scope orders:read --contact ops@example.com
  pavise client create report --scope orders:read --oauth
  pavise client create shop --scope orders:read --oauth --redirect https://shop.example.com/callback`,
		RunE: func(command *cobra.Command, args []string) error {
			n.ID = args[0]
			for name, value := range attributes {
				if n.Attributes == nil {
					n.Attributes = map[string]any{}
				}
				n.Attributes[name] = value
			}
			if err := registered.misplaced(command.Flags()); err != nil {
				return err
			}
			if registered.oauth {
				return registered.create(command, n, asJSON)
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				made, err := a.CreateClient(ctx, n)
				if err != nil {
					return err
				}
				warnOfScopes(command, n.Scopes)
				if asJSON {
					return writeJSON(command.OutOrStdout(), made)
				}
				_, err = fmt.Fprintf(command.OutOrStdout(), "client %s is there; give it a key: pavise key create --client %s\n", made.ID, made.ID)
				return err
			})
		},
	}
	flags := command.Flags()
	flags.StringSliceVar(&n.Scopes, "scope", nil, "what it may do; may be repeated")
	flags.StringVar(&n.Tenant, "tenant", "", "whose data it works on")
	flags.StringVar(&n.Contact, "contact", "", "a person to ask")
	flags.StringToStringVar(&attributes, "attribute", nil, "`NAME=VALUE`, for conditions; may be repeated")
	registered.register(flags)
	jsonFlag(command, &asJSON)
	return command
}

// warnOfScopes warns of scopes that no endpoint can demand: most often they are misspelled. They are given
// all the same, because the configuration that has them may come later.
func warnOfScopes(command *cobra.Command, scopes []string) {
	file, err := app.Load(configPath(command))
	if err != nil {
		return // that the file is wrong was said
	}
	for _, unknown := range file.UnknownScopes(scopes) {
		_, _ = fmt.Fprintf(command.ErrOrStderr(), "warning: scope %s\n", printable(unknown)) // there is nobody else to tell
	}
}

func clientList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List clients", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				list, err := a.Clients(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), list)
				}
				rows := make([][]string, 0, len(list))
				for _, c := range list {
					rows = append(rows, []string{c.ID, state(c.Disabled), strings.Join(c.Scopes, " "), c.Tenant, c.Contact, shortTime(c.Created)})
				}
				return table(command.OutOrStdout(), []string{"CLIENT", "STATE", "SCOPES", "TENANT", "CONTACT", "CREATED"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func state(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}

func clientShow() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "show ID", Short: "Show a client and its credentials", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				owner, err := a.Client(ctx, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), owner)
				}
				return showClient(command, owner)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func showClient(command *cobra.Command, owner admin.Owner) error {
	c := owner.Client
	out := command.OutOrStdout()
	rows := [][]string{
		{"state", state(c.Disabled)},
		{"scopes", strings.Join(c.Scopes, " ")},
		{"tenant", c.Tenant},
		{"contact", c.Contact},
		{"created", shortTime(c.Created)},
	}
	for name, value := range c.Attributes {
		rows = append(rows, []string{name, fmt.Sprint(value)})
	}
	if err := table(out, []string{"client", c.ID}, rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	if owner.Registration != nil {
		if err := showRegistration(out, owner.Registration); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out); err != nil {
			return err
		}
	}
	return credentialTable(command, owner.Credentials)
}

func clientUpdate() *cobra.Command {
	var scopes []string
	var tenant, contact string
	command := &cobra.Command{
		Use: "update ID", Short: "Change what a client may do, its tenant or its contact", Args: cobra.ExactArgs(1),
		Example: "  pavise client update shop --scope orders:read --scope orders:write",
		RunE: func(command *cobra.Command, args []string) error {
			var u admin.ClientUpdate
			if command.Flags().Changed("scope") {
				u.Scopes = append([]string{}, scopes...)
			}
			if command.Flags().Changed("tenant") {
				u.Tenant = &tenant
			}
			if command.Flags().Changed("contact") {
				u.Contact = &contact
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.UpdateClient(ctx, args[0], u)
				if err != nil {
					return err
				}
				warnOfScopes(command, u.Scopes)
				_, err = fmt.Fprintf(command.OutOrStdout(), "client %s: %s\n", args[0], done.Change)
				return err
			})
		},
	}
	flags := command.Flags()
	flags.StringSliceVar(&scopes, "scope", nil, "all that it may do from now on, instead of what it may now; may be repeated")
	flags.StringVar(&tenant, "tenant", "", "whose data it works on")
	flags.StringVar(&contact, "contact", "", "a person to ask")
	return command
}

func clientSwitch(what, short string) *cobra.Command {
	return &cobra.Command{
		Use: what + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				do := a.DisableClient
				if what == "enable" {
					do = a.EnableClient
				}
				if _, err := do(ctx, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(command.OutOrStdout(), "client %s is %sd\n", args[0], what)
				return err
			})
		},
	}
}

func credentialTable(command *cobra.Command, list []client.Credential) error {
	rows := make([][]string, 0, len(list))
	for _, c := range list {
		rows = append(rows, []string{
			c.ID, c.Kind, c.Client, credentialState(c), strings.Join(c.Scopes, " "), c.Environment, shortTime(c.End()), shortTime(c.LastUsed),
		})
	}
	return table(command.OutOrStdout(), []string{"ID", "KIND", "CLIENT", "STATE", "SCOPES", "ENVIRONMENT", "ENDS", "LAST USED"}, rows)
}
