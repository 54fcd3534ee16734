package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/shell"
)

func initCommand() *cobra.Command {
	var upstream, host, out string
	learns := &learnFlags{}
	command := &cobra.Command{
		Use: "init", Short: "Write a configuration to begin with", Args: cobra.NoArgs,
		Long: `Write a configuration to begin with.

With --learn, one is proposed from what is there: from the event log of a gateway that has watched for a while (who called what, how
often: endpoints with parameters, shields, limits, and a contract that is tried before it refuses anybody), or from a file of nginx
(hosts, paths, upstreams, limits, who is asked). What that leaves open is listed.`,
		Example: "  pavise init --upstream http://127.0.0.1:3000\n  pavise init --learn /etc/nginx/nginx.conf\n  pavise init --learn pavise-data/log --out learned.yaml",
		RunE: func(command *cobra.Command, _ []string) error {
			switch flag := learns.given(command); {
			case learns.from != "":
				learns.out, learns.upstream = out, upstream
				return learns.learned(command)
			case flag != "":
				return &usageError{"--" + flag + " is for --learn", "name what to learn from: pavise init --learn pavise-data/log"}
			case upstream == "":
				return &usageError{"where does your API listen?", "pavise init --upstream http://127.0.0.1:3000; or learn it: pavise init --learn nginx.conf"}
			}
			if u, err := url.Parse(upstream); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
				return &usageError{fmt.Sprintf("--upstream %q is no upstream's address", upstream), "write scheme, host and port: http://127.0.0.1:3000"}
			}
			if err := writeNew(out, config.Starter(upstream, host)); err != nil {
				return err
			}
			return tellNext(command, out)
		},
	}
	command.Flags().StringVar(&upstream, "upstream", "", "where your API listens, like http://127.0.0.1:3000")
	command.Flags().StringVar(&host, "host", "127.0.0.1", "name or address under which callers reach the gateway")
	command.Flags().StringVar(&out, "out", "pavise.yaml", "file to write; an existing one is left alone")
	learns.register(command)
	return command
}

// tellNext says what comes after the file is written.
func tellNext(command *cobra.Command, name string) error {
	file := ""
	if name != "pavise.yaml" {
		file = " -c " + shell.Quoted(name)
	}
	rows := [][2]string{
		{"pavise check" + file, "is it right?"},
		{"pavise serve" + file, "run the gateway"},
		{"pavise client create shop --scope my-api:read" + file, "who may call"},
		{"pavise key create --client shop" + file, "with what"},
	}
	text := fmt.Sprintf("wrote %s: make its endpoints and scopes those of your API, then\n\n", name)
	for _, row := range rows {
		text += fmt.Sprintf("  %-*s  %s\n", len(rows[2][0]), row[0], row[1])
	}
	_, err := fmt.Fprint(command.OutOrStdout(), text)
	return err
}

// writeNew writes a file that does not exist yet, and never another.
func writeNew(name string, text []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return &usageError{name + " is there already, and is left as it is", "name another file, or remove it first"}
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if _, err := file.Write(text); err != nil {
		return errors.Join(fmt.Errorf("write the configuration: %w", err), file.Close())
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
