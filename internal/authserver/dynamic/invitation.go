package dynamic

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
)

// Invitation lets programs register.
type Invitation struct {
	ID      string    `json:"id"` // its name in events; not what its holder presents
	Contact string    `json:"contact"`
	Scopes  []string  `json:"scopes"` // the most that a client gets
	Grants  []string  `json:"grants"` // that a client may use
	Left    int       `json:"left"`   // how many may still register
	Created time.Time `json:"created"`
	Ends    time.Time `json:"ends"`
}

// Bounds of an invitation.
const (
	MaxUses = 1000
	MaxLife = 90 * 24 * time.Hour

	invitationPrefix = "pvsit_"
)

// Invitations are kept under a keyed hash of what their holders present. They are safe for
// concurrent use.
type Invitations struct {
	table rows.Table[Invitation]
	now   func() time.Time
	rand  io.Reader
}

// NewInvitations returns the invitations in the records.
func NewInvitations(records rows.Records, now func() time.Time, random io.Reader) *Invitations {
	return &Invitations{rows.NewTable[Invitation](records, "invitation"), now, random}
}

// Make keeps an invitation that lives for a time, and returns the token to hand out. It is
// not kept.
func (i *Invitations) Make(ctx context.Context, v Invitation, life time.Duration) (Invitation, string, error) {
	switch {
	case v.Left < 1 || v.Left > MaxUses:
		return v, "", fmt.Errorf("uses: %d is not between 1 and %d", v.Left, MaxUses)
	case life < time.Minute || life > MaxLife:
		return v, "", fmt.Errorf("life: %s is not between 1m and 90d", life)
	case len(v.Scopes) == 0:
		return v, "", errors.New("scopes: name those that a client may get at most")
	}
	for _, grant := range v.Grants {
		if !slices.Contains(grantsOffered(), grant) {
			return v, "", fmt.Errorf("grants: %q: want some of %s", grant, strings.Join(grantsOffered(), ", "))
		}
	}
	if len(v.Grants) == 0 {
		v.Grants = []string{"authorization_code", "refresh_token"}
	}
	if err := (&client.Client{ID: "x", Scopes: v.Scopes, Contact: v.Contact}).Validate(); err != nil {
		return v, "", err
	}
	text, err := registration.Random(i.rand)
	if err != nil {
		return v, "", err
	}
	name, err := newName(i.rand)
	if err != nil {
		return v, "", err
	}
	token := invitationPrefix + text
	v.ID, v.Created = "inv-"+name, i.now().UTC()
	v.Ends = v.Created.Add(life)
	return v, token, i.table.Add(ctx, i.table.Name(token), v)
}

// grantsOffered are those that programs may register for.
func grantsOffered() []string {
	return []string{"authorization_code", "refresh_token", "client_credentials", "device_code"}
}

// All returns the invitations that are good, newest first.
func (i *Invitations) All(ctx context.Context) ([]Invitation, error) {
	found, err := i.table.All(ctx)
	if err != nil {
		return nil, err
	}
	var all []Invitation
	for _, row := range found {
		if i.isGood(&row.Value) {
			all = append(all, row.Value)
		}
	}
	slices.SortFunc(all, func(a, b Invitation) int { return b.Created.Compare(a.Created) })
	return all, nil
}

func (i *Invitations) isGood(v *Invitation) bool { return v.Left > 0 && i.now().Before(v.Ends) }

// ErrUnknown says that there is no such invitation.
var ErrUnknown = errors.New("there is no such invitation")

// Withdraw ends an invitation by its id. Who has registered with it stays.
func (i *Invitations) Withdraw(ctx context.Context, id string) error {
	found, err := i.table.All(ctx)
	if err != nil {
		return err
	}
	for _, row := range found {
		if row.Value.ID != id {
			continue
		}
		if err := i.table.Take(ctx, row); !errors.Is(err, rows.ErrMissing) {
			return err
		}
	}
	return ErrUnknown
}

// Collect removes invitations that are good no more.
func (i *Invitations) Collect(ctx context.Context) error {
	_, err := i.table.RemoveIf(ctx, func(v Invitation) bool { return !i.isGood(&v) })
	return err
}

// find returns the invitation that a token opens.
func (i *Invitations) find(ctx context.Context, token string) (rows.Row[Invitation], error) {
	if !strings.HasPrefix(token, invitationPrefix) {
		return rows.Row[Invitation]{}, unauthorized("no initial access token")
	}
	row, err := i.table.Find(ctx, token)
	if errors.Is(err, rows.ErrMissing) || err == nil && !i.isGood(&row.Value) {
		return row, unauthorized("the initial access token is none, or was used up, withdrawn, or ended")
	}
	return row, err
}

// use takes one use of an invitation, however many try at once.
func (i *Invitations) use(ctx context.Context, id string) error {
	_, err := i.table.Change(ctx, id, func(v *Invitation) error {
		if !i.isGood(v) {
			return unauthorized("the initial access token was used up in this moment")
		}
		v.Left--
		return nil
	})
	if errors.Is(err, rows.ErrMissing) {
		return unauthorized("the initial access token was withdrawn in this moment")
	}
	return err
}

// newName returns 80 random bits as letters and digits that can stand in the id of a client.
func newName(random io.Reader) (string, error) {
	var b [10]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return strings.ToLower(base32.HexEncoding.EncodeToString(b[:])), nil
}
