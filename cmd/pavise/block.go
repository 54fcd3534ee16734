package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
)

// blockCommand keeps networks out, in an incident.
func blockCommand() *cobra.Command {
	var life, reason string
	command := &cobra.Command{
		Use: "block NETWORK", Short: "Keep a network out for a time, at once", Args: cobra.ExactArgs(1),
		Long: `Refuse every request from a network (or an address) with 403, before anything else is
done for it: at once here, within a second on every node that shares the store. A block ends
by itself. It counts for the caller's address as trusted_proxies let it be known, so that a
proxy in front is not shut out with everybody behind it.

To end what one client or credential may do, use 'pavise client disable' or 'pavise revoke'.`,
		Example: `  pavise block 203.0.113.0/24 --reason "floods /login"
  pavise block 2001:db8:1::/48 --for 12h
  pavise block list
  pavise unblock 203.0.113.0/24`,
		RunE: func(command *cobra.Command, args []string) error {
			network, err := readNetwork(args[0])
			if err != nil {
				return err
			}
			long, err := config.ParseDuration(life)
			if err != nil || long <= 0 {
				return &usageError{fmt.Sprintf("%q is no time", life), "write 10m, 1h or the like, 90d at most"}
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Block(ctx, admin.NewBlock{Network: network, Life: long, Reason: reason})
				return showDone(command, done, err)
			})
		},
	}
	command.Flags().StringVar(&life, "for", "1h", "how long, 90d at most")
	command.Flags().StringVar(&reason, "reason", "", "why, for the log")
	command.AddCommand(blockList())
	return command
}

// readNetwork reads a network, or an address, which is a network of its own.
func readNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network != network.Masked() {
		return network, &usageError{fmt.Sprintf("%.80q is no network", text), "write 203.0.113.7 or 203.0.113.0/24"}
	}
	return network, nil
}

func blockList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "list", Short: "List the networks that are kept out", Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				all, err := a.Blocks(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(command.OutOrStdout(), all)
				}
				rows := make([][]string, 0, len(all))
				for _, b := range all {
					rows = append(rows, []string{b.Network.String(), b.Until.Format(time.RFC3339), b.Reason})
				}
				return table(command.OutOrStdout(), []string{"NETWORK", "UNTIL", "REASON"}, rows)
			})
		},
	}
	jsonFlag(command, &asJSON)
	return command
}

func unblockCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unblock NETWORK", Short: "Let a network in again", Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			network, err := readNetwork(args[0])
			if err != nil {
				return err
			}
			return administer(command, func(ctx context.Context, a *admin.Client) error {
				done, err := a.Unblock(ctx, network)
				return showDone(command, done, err)
			})
		},
	}
}
