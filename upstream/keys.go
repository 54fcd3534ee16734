package upstream

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const (
	maxDocument = 64 << 10         // bytes of a JWKS document
	coolDown    = 10 * time.Second // between two looks for an unknown key
	maxAge      = 10 * time.Minute // after which keys that can be read again are
)

// keySet holds the gateway's keys by the exact header that each of them puts
// before a token: nothing else of the header needs to be understood.
type keySet struct {
	source func(context.Context) ([]byte, error) // nil: they never change
	now    func() time.Time

	mu     sync.RWMutex
	keys   map[string]ed25519.PublicKey
	looked time.Time

	refreshing sync.Mutex
}

func openKeys(o *Options) (*keySet, error) {
	given := 0
	k := &keySet{now: o.Now}
	first := func(context.Context) ([]byte, error) { return o.Keys, nil }
	if o.Keys != nil {
		given++
	}
	if o.File != "" {
		given++
		first = readFile(o.File)
		k.source = first
	}
	if o.URL != "" {
		given++
		fetch, err := fetcher(o)
		if err != nil {
			return nil, err
		}
		first = fetch
		k.source = first
	}
	if given != 1 {
		return nil, errors.New("a verifier needs exactly one of Keys, File and URL")
	}
	document, err := first(context.Background())
	if err != nil {
		return nil, err
	}
	if k.keys, err = parseKeys(document); err != nil {
		return nil, err
	}
	k.looked = o.Now()
	return k, nil
}

func readFile(name string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the gateway's keys: %w", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		return readDocument(f, name)
	}
}

func fetcher(o *Options) (func(context.Context) ([]byte, error), error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("address of the gateway's keys: %w", err)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("keys from %s could be exchanged on the way; use https", o.URL)
	}
	client := o.Client
	if client == nil {
		client = &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}
	}
	return func(ctx context.Context) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, o.URL, nil)
		if err != nil {
			return nil, fmt.Errorf("fetch the gateway's keys: %w", err)
		}
		response, err := client.Do(r)
		if err != nil {
			return nil, fmt.Errorf("fetch the gateway's keys: %w", err)
		}
		defer func() { _ = response.Body.Close() }() // it was only read
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("fetch the gateway's keys from %s: status %d", o.URL, response.StatusCode)
		}
		return readDocument(response.Body, o.URL)
	}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func readDocument(r io.Reader, from string) ([]byte, error) {
	document, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read the gateway's keys from %s: %w", from, err)
	}
	if len(document) > maxDocument {
		return nil, fmt.Errorf("the gateway's keys in %s are longer than %d bytes", from, maxDocument)
	}
	return document, nil
}

// parseKeys reads the Ed25519 keys of a JWKS document (RFC 7517, RFC 8037). Keys
// of other kinds are passed over; a key whose kid is not its thumbprint is an error.
func parseKeys(document []byte) (map[string]ed25519.PublicKey, error) {
	var set struct {
		Keys []struct {
			Type      string `json:"kty"`
			Curve     string `json:"crv"`
			X         string `json:"x"`
			ID        string `json:"kid"`
			Use       string `json:"use"`
			Algorithm string `json:"alg"`
			Private   string `json:"d"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("the gateway's keys are no JWKS document: %w", err)
	}
	keys := map[string]ed25519.PublicKey{}
	for _, key := range set.Keys {
		if key.Type != "OKP" || key.Curve != "Ed25519" || key.Use != "" && key.Use != "sig" || key.Algorithm != "" && key.Algorithm != "EdDSA" {
			continue
		}
		if key.Private != "" {
			return nil, errors.New("the JWKS document holds a private key; give the service only the public ones")
		}
		x, err := decode(key.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("an Ed25519 key of the JWKS document does not have 32 bytes")
		}
		id := thumbprint(key.X)
		if key.ID != "" && key.ID != id {
			return nil, errors.New("the kid of a key of the JWKS document is not its RFC 7638 thumbprint")
		}
		keys[header(id)] = x
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWKS document holds no Ed25519 key")
	}
	return keys, nil
}

// thumbprint names a key by its encoded public half (RFC 7638).
func thumbprint(x string) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// header is the encoded header of every token that the key signs.
func header(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"` + id + `","typ":"pavise-identity+jwt"}`))
}

// find returns the key for a token's header, looking for new keys if it is
// unknown or the known ones are old, at most once per cool-down.
func (k *keySet) find(ctx context.Context, header string) (ed25519.PublicKey, error) {
	key, age := k.get(header)
	if k.source != nil && age >= coolDown && (key == nil || age >= maxAge) {
		if err := k.refresh(ctx); err != nil && key == nil {
			return nil, err
		}
		key, _ = k.get(header)
	}
	if key == nil {
		return nil, errors.New("the token's header is not that of an identity token under one of the gateway's keys")
	}
	return key, nil
}

func (k *keySet) get(header string) (ed25519.PublicKey, time.Duration) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[header], k.now().Sub(k.looked)
}

// refresh reads the keys again; if that fails the old ones stay.
func (k *keySet) refresh(ctx context.Context) error {
	k.refreshing.Lock()
	defer k.refreshing.Unlock()
	k.mu.Lock()
	if k.now().Sub(k.looked) < coolDown {
		k.mu.Unlock()
		return nil // another request has just looked
	}
	k.looked = k.now()
	k.mu.Unlock()
	document, err := k.source(context.WithoutCancel(ctx)) // others wait for it too
	if err != nil {
		return err
	}
	keys, err := parseKeys(document)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys
	return nil
}
