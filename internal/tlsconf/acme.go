package tlsconf

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"sync"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// acme gets certificates from an authority that proves by HTTP-01 that a name is
// ours (RFC 8555 §8.3), keeps them in the data folder, and renews them. certmagic
// does the work, without its package-level defaults, log and listeners.
type acme struct {
	folder  string
	issuers []*certmagic.ACMEIssuer
	caches  []*certmagic.Cache

	// taken is an address at which something of ours listens: certmagic opens a
	// listener of its own for challenges unless it finds the address taken. Ours
	// serve them, and nothing else may listen.
	taken net.Listener

	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu     sync.Mutex
	failed []error
}

// kept is how many failures wait to be read, the newest.
const kept = 16

func newACME(folder string) (*acme, error) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("ready ACME: %w", err)
	}
	a := &acme{folder: folder, taken: taken}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.wait.Go(a.turnAway)
	return a, nil
}

// turnAway closes whatever connects to the taken address.
func (a *acme) turnAway() {
	for {
		conn, err := a.taken.Accept()
		if err != nil {
			return // it was closed
		}
		_ = conn.Close() // nothing was said
	}
}

// open returns the certificate of a host: at once if the data folder holds it,
// otherwise when the authority has issued it. Until then handshakes fail.
func (a *acme) open(name string, source Source) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	magic, cache, err := a.configure(source)
	if err != nil {
		return nil, err
	}
	_, err = magic.CacheManagedCertificate(a.ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("certificate kept in %s: %w; move it away to ask for a new one", a.folder, err)
	}
	known := err == nil
	a.wait.Go(func() {
		if err := a.obtain(name, known, magic, cache); err != nil && a.ctx.Err() == nil {
			a.fail(fmt.Errorf("certificate of %s: %w", name, err))
		}
	})
	return magic.GetCertificate, nil
}

func (a *acme) configure(source Source) (*certmagic.Config, *certmagic.Cache, error) {
	issuer := certmagic.ACMEIssuer{
		CA: source.Directory, Email: source.Email, Agreed: true, DisableTLSALPNChallenge: true, Logger: zap.NewNop(),
		ListenHost: "127.0.0.1", AltHTTPPort: a.taken.Addr().(*net.TCPAddr).Port,
	}
	if issuer.CA == "" {
		issuer.CA = certmagic.LetsEncryptProductionCA
	}
	if source.Roots != "" {
		pool, err := ReadPool(source.Roots)
		if err != nil {
			return nil, nil, err
		}
		issuer.TrustedRoots = pool
	}
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		Logger:           zap.NewNop(),
	})
	a.caches = append(a.caches, cache)
	magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.folder}, Logger: zap.NewNop(), OnEvent: a.note,
		// A start waits for no answer from elsewhere; the large authorities have none to give.
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	made := certmagic.NewACMEIssuer(magic, issuer)
	magic.Issuers = []certmagic.Issuer{made}
	a.issuers = append(a.issuers, made)
	return magic, cache, nil
}

// obtain asks for a certificate, again with growing pauses if that fails, until
// it came or the upkeep ends. One that is kept is renewed if it is time; later
// the cache does that.
func (a *acme) obtain(name string, known bool, magic *certmagic.Config, cache *certmagic.Cache) error {
	if known {
		return cache.RenewManagedCertificates(a.ctx)
	}
	if err := magic.ObtainCertAsync(a.ctx, name); err != nil { // it returns when it is done
		return err
	}
	_, err := magic.CacheManagedCertificate(a.ctx, name)
	return err
}

// note keeps failures that certmagic tells of and tries to mend itself.
func (a *acme) note(_ context.Context, event string, data map[string]any) error {
	if err, ok := data["error"].(error); ok && event == "cert_failed" && a.ctx.Err() == nil {
		a.fail(fmt.Errorf("ask for a certificate of %v by ACME: %w; it is tried again: does the name lead here, and port 80 to listen.http?", data["identifier"], err))
	}
	return nil
}

func (a *acme) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = append(a.failed, err)
	if len(a.failed) > kept {
		a.failed = a.failed[1:]
	}
}

// failures returns what failed since the last call.
func (a *acme) failures() []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	failed := a.failed
	a.failed = nil
	return failed
}

// close ends what is under way and waits for it. A renewal that the cache began
// ends with it, at its next step.
func (a *acme) close() {
	a.cancel()
	_ = a.taken.Close() // nothing was said there
	for _, cache := range a.caches {
		cache.Stop()
	}
	a.wait.Wait()
}

// ChallengeHandler answers ACME HTTP-01 challenges and hands all else to next.
func (c *Certificates) ChallengeHandler(next http.Handler) http.Handler {
	if c.acme == nil {
		return next
	}
	for _, issuer := range c.acme.issuers {
		next = issuer.HTTPChallengeHandler(next)
	}
	return next
}
