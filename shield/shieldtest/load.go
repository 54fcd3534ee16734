package shieldtest

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	callers     = 50
	perCaller   = 20
	longestWait = 10 * time.Second // for an answer after the context ended
	longHeader  = 1 << 20          // bytes; the edge lets far less through
	slack       = 8 << 20          // bytes that one Verify may allocate beside the body
	pastLimit   = 64 << 10         // bytes that may be read beyond the limit, for buffers
)

func servesMany(c *testCase) {
	wrong := c.wrongs()
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for i := range perCaller {
				if len(wrong) > 0 && (caller+i)%3 == 0 {
					if _, err := c.verify(wrong[i%len(wrong)].request(c)); err == nil || passes(err) {
						c.Errorf("among %d callers, %s: %v", callers, wrong[i%len(wrong)].Name, err)
					}
					continue
				}
				id, err := c.verify(c.signed())
				if err == nil {
					err = c.world.Consume(id)
				}
				if err != nil {
					c.Errorf("among %d callers a good credential is refused: %v", callers, err)
				}
			}
		})
	}
	wait.Wait()
}

func endsWhenCancelled(c *testCase) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := c.signed().WithContext(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.shield.Verify(arrive(r, c.needs))
	}()
	select {
	case <-done:
	case <-time.After(longestWait):
		c.Errorf("Verify still runs %s after its context was cancelled", longestWait)
	}
}

func boundsMemory(c *testCase) {
	for _, name := range c.carried() {
		for _, fill := range []string{"A", "a=\"b\",", ".", ", ", "\\"} {
			r := c.signed()
			r.Header.Set(name, r.Header.Get(name)+strings.Repeat(fill, longHeader/len(fill)))
			err := c.within("a header "+name+" of 1 MiB", slack, r)
			if err == nil || passes(err) {
				c.Errorf("a header %s of 1 MiB of %q: %v, want a refusal that ends the search", name, fill, err)
			}
		}
	}
	if c.needs.Body == 0 {
		return
	}
	c.boundsBody()
}

// boundsBody sends the largest body that may be signed, and one without an end.
func (c *testCase) boundsBody() {
	c.Helper()
	r := c.request()
	r.Method = http.MethodPost
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", int(c.needs.Body)))), c.needs.Body
	if err := c.signer.Sign(r); err != nil {
		c.Fatalf("sign a body of %d bytes: %v", c.needs.Body, err)
	}
	present(r, c.signer)
	if err := c.within("the largest body", slack+8*uint64(c.needs.Body), r); err != nil {
		c.Errorf("a body of exactly %d bytes is refused: %v", c.needs.Body, err)
	}
	r = c.signed()
	endless := &countingBody{Reader: zeros{}}
	r.Body, r.ContentLength = endless, -1
	err := c.within("an endless body", slack+8*uint64(c.needs.Body), r)
	if err == nil || passes(err) {
		c.Errorf("an endless body: %v", err)
	}
	if endless.read > c.needs.Body+pastLimit {
		c.Errorf("Verify read %d bytes of an endless body, %d may be signed", endless.read, c.needs.Body)
	}
}

// zeros is a body without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// within asks the shield and measures what it allocated.
func (c *testCase) within(what string, bytes uint64, r *http.Request) error {
	c.Helper()
	arrived := arrive(r, c.needs)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.shield.Verify(arrived)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > bytes {
		c.Errorf("%s: Verify allocated %d bytes, at most %d are fair", what, used, bytes)
	}
	c.searchSecrets(nil, err)
	return err
}
