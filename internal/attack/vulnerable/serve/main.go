// Command serve runs the vulnerable API on this machine, to try `pavise attack` on it:
//
//	go run ./internal/attack/vulnerable/serve --folder /tmp/shop
//
// The folder gets the API's document and the credentials of its users: openapi.yaml, alice.headers,
// bob.headers, root.headers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"pavise.dev/pavise/internal/attack/vulnerable"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address of this machine to listen on")
	folder := flag.String("folder", "vulnerable-shop", "folder for the document and the users' credentials")
	mended := flag.String("mend", "", "faults to mend, with commas between; all: every one")
	list := flag.Bool("list", false, "list the faults instead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *listen, *folder, *mended, *list)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, folder, mended string, list bool) error {
	without := map[string]bool{}
	for name := range strings.SplitSeq(mended, ",") {
		without[name] = true
	}
	var on []string
	for _, f := range vulnerable.Faults() {
		if list {
			fmt.Printf("%-26s %s\n", f.Name, f.What)
		}
		if !without["all"] && !without[f.Name] {
			on = append(on, f.Name)
		}
	}
	if list {
		return nil
	}
	address, err := netip.ParseAddrPort(listen)
	if err != nil || !address.Addr().IsLoopback() {
		return fmt.Errorf("%s is no address of this machine alone: write 127.0.0.1:8080", listen)
	}
	api, err := vulnerable.New(nil, on...)
	if err != nil {
		return err
	}
	if err := writeFiles(api, folder); err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // it ends anyway
	}()
	fmt.Printf("a vulnerable shop at http://%s, %d of %d faults on\n", l.Addr(), len(on), len(vulnerable.Faults()))
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func writeFiles(api *vulnerable.API, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "openapi.yaml"), vulnerable.Document(), 0o600); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	for _, name := range []string{"alice", "bob", "root"} {
		token, err := api.Token(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name+".headers"), []byte("Authorization: Bearer "+token+"\n"), 0o600); err != nil {
			return fmt.Errorf("write the credential of %s: %w", name, err)
		}
	}
	return nil
}
