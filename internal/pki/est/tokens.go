package est

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/rows"
)

// Token lets somebody get one certificate: the operator has said for whom, and with which
// names.
type Token struct {
	ID       string         `json:"id"` // its name in events; not what its holder presents
	Client   string         `json:"client"`
	Profile  string         `json:"profile"`
	Names    []string       `json:"names,omitempty"`
	Life     time.Duration  `json:"life,omitempty"` // of the certificate; 0: the profile's
	Scopes   []string       `json:"scopes,omitempty"`
	Networks []netip.Prefix `json:"networks,omitempty"`
	Created  time.Time      `json:"created"`
	Ends     time.Time      `json:"ends"`
}

// request is what the token asks the authority for.
func (t *Token) request() pki.Request {
	return pki.Request{Client: t.Client, Profile: t.Profile, Names: t.Names, Life: t.Life, Scopes: t.Scopes, Networks: t.Networks}
}

// Lives of tokens.
const (
	DefaultTokenLife = time.Hour
	MaxTokenLife     = 7 * 24 * time.Hour

	tokenPrefix = "pvenr_"
)

// ErrUnknown says that there is no such token: it never was, was used, withdrawn, or ended.
var ErrUnknown = errors.New("there is no such enrolment token, or it was used, withdrawn, or has ended")

// Tokens are kept under a keyed hash of what their holders present. They are safe for
// concurrent use.
type Tokens struct {
	table rows.Table[Token]
	now   func() time.Time
	rand  io.Reader
}

// NewTokens returns the tokens in the records.
func NewTokens(records rows.Records, now func() time.Time) *Tokens {
	return &Tokens{rows.NewTable[Token](records, "enrolment"), now, rand.Reader}
}

// Make keeps a token that lives for a time, and returns what its holder presents: a secret,
// and the fingerprint of the root by which the holder knows the authority, so that nothing
// else has to be carried. The secret is not kept.
func (k *Tokens) Make(ctx context.Context, t Token, life time.Duration, root *x509.Certificate) (Token, string, error) {
	if err := CheckLife(life); err != nil {
		return t, "", err
	}
	if life == 0 {
		life = DefaultTokenLife
	}
	var secret [32]byte
	var id [5]byte
	for _, b := range [][]byte{secret[:], id[:]} {
		if _, err := io.ReadFull(k.rand, b); err != nil {
			return t, "", fmt.Errorf("make a token: %w", err)
		}
	}
	digest := sha256.Sum256(root.Raw)
	text := tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	t.ID, t.Created = "enrol-"+hex.EncodeToString(id[:]), k.now().UTC()
	t.Ends = t.Created.Add(life)
	return t, text + "." + base64.RawURLEncoding.EncodeToString(digest[:]), k.table.Add(ctx, k.table.Name(text), t)
}

// CheckLife refuses a life that no token may have. 0 is the default.
func CheckLife(life time.Duration) error {
	if life != 0 && (life < time.Minute || life > MaxTokenLife) {
		return &pki.Fault{Message: fmt.Sprintf("a token cannot live for %s", life), Hint: "ask for 1m to 7d"}
	}
	return nil
}

// split takes what a holder presents apart.
func split(text string) (secret string, root []byte, err error) {
	secret, pin, _ := strings.Cut(strings.TrimSpace(text), ".")
	root, err = base64.RawURLEncoding.Strict().DecodeString(pin)
	if !strings.HasPrefix(secret, tokenPrefix) || err != nil || len(root) != sha256.Size {
		return "", nil, errors.New("this is no enrolment token: `pavise cert token` makes one, which begins with " + tokenPrefix)
	}
	return secret, root, nil
}

// find returns the token that a secret opens.
func (k *Tokens) find(ctx context.Context, secret string) (rows.Row[Token], error) {
	secret, _, _ = strings.Cut(secret, ".") // the holder may send all that it has
	if !strings.HasPrefix(secret, tokenPrefix) {
		return rows.Row[Token]{}, ErrUnknown
	}
	row, err := k.table.Find(ctx, secret)
	if errors.Is(err, rows.ErrMissing) || err == nil && !k.now().Before(row.Value.Ends) {
		return row, ErrUnknown
	}
	return row, err
}

// use spends a token: of several who try, one may.
func (k *Tokens) use(ctx context.Context, row rows.Row[Token]) error {
	err := k.table.Take(ctx, row)
	if errors.Is(err, rows.ErrMissing) {
		return ErrUnknown
	}
	return err
}

// All returns the tokens that are good, newest first.
func (k *Tokens) All(ctx context.Context) ([]Token, error) {
	found, err := k.table.All(ctx)
	if err != nil {
		return nil, err
	}
	all := []Token{}
	for _, row := range found {
		if k.now().Before(row.Value.Ends) {
			all = append(all, row.Value)
		}
	}
	slices.SortFunc(all, func(a, b Token) int { return b.Created.Compare(a.Created) })
	return all, nil
}

// Withdraw ends a token by its id.
func (k *Tokens) Withdraw(ctx context.Context, id string) error {
	found, err := k.table.All(ctx)
	if err != nil {
		return err
	}
	for _, row := range found {
		if row.Value.ID == id {
			return k.use(ctx, row)
		}
	}
	return ErrUnknown
}

// Collect removes tokens that have ended.
func (k *Tokens) Collect(ctx context.Context) error {
	_, err := k.table.RemoveIf(ctx, func(t Token) bool { return !k.now().Before(t.Ends) })
	return err
}
