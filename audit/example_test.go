package audit_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"time"

	"pavise.dev/pavise/audit"
)

// ExampleOpen keeps two events, and checks the log as anybody with its keys can.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }() // it was only an example

	key := make([]byte, 32) // 32 random bytes that you keep
	public, sign, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := audit.Open(audit.Options{Dir: dir, Node: "gw1", Key: key, Sign: sign, Now: time.Now})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, action := range []string{"invoice.send", "invoice.cancel"} {
		if err := audit.Record(log, &audit.Event{Time: time.Now(), Class: audit.Admin, Decision: audit.Noted, Actor: "ann", Action: action}); err != nil {
			fmt.Println(err)
		}
	}
	if err := log.Close(); err != nil { // signs a last checkpoint
		fmt.Println(err)
	}

	report, err := audit.Verify(dir, key, public)
	fmt.Println(report.Lines, report.Covered, report.Fault, err)
	// Output: 2 2 <nil> <nil>
}

// ExampleSearch finds what one client was refused.
func ExampleSearch() {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }() // it was only an example
	log, err := audit.Open(audit.Options{Dir: dir, Key: make([]byte, 32), Sign: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: time.Now})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, code := range []string{"", "rate_limited"} {
		e := audit.Event{Class: audit.Request, Decision: audit.Accepted, Client: "shop", Code: code, Time: time.Now()}
		if code != "" {
			e.Decision = audit.Refused
		}
		if err := log.Begin(&e); err != nil { // before the first byte of the answer
			fmt.Println(err)
		}
		e.Status = 200
		log.Complete(&e) // when the last one has left
	}
	if err := log.Close(); err != nil {
		fmt.Println(err)
	}
	found, err := audit.Search(context.Background(), dir, audit.Query{Client: "shop", Decision: audit.Refused, Limit: 10})
	if err != nil {
		fmt.Println(err)
	}
	for _, f := range found {
		fmt.Println(f.Seq, f.Event.Code)
	}
	// Output: 2 rate_limited
}
