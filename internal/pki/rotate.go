package pki

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/secret"
)

// Rotation asks for the next authority, beside which the old one goes on being trusted for
// as long as anything that it signed is in force.
type Rotation struct {
	Root    bool         // a new root too, signed by the old one as well as by itself
	RootKey secret.Value // PEM, of the root that signs now, if it is kept elsewhere
	NextKey secret.Value // PEM, of the new root, which is not kept; empty: one is made and kept

	// Compromised: keys that are kept here are in other hands, as after the theft of a backup.
	// Every issuing authority is revoked, those that sign no more too, with every certificate
	// that they signed. With Root so are the roots: the next one is signed by none of them,
	// and whoever verifies by himself must be given it.
	Compromised bool
	Reason      string
}

// Rotate makes the next issuing authority, and the next root if that is asked for. What
// it signs has a chain that also leads to the root before it, so that nobody needs to
// learn of the new root at once.
func (a *Authority) Rotate(ctx context.Context, n Rotation) (client.Change, error) {
	a.changing.Lock()
	defer a.changing.Unlock()
	change := client.Change{Action: "authority.rotate", Target: "certificate authority"}
	if err := a.read(ctx); err != nil {
		return change, err
	}
	h, err := a.hierarchy()
	if err != nil {
		return change, err
	}
	now := a.options.Now().UTC()
	members, signer, err := a.next(h, n, now)
	if err != nil {
		return change, err
	}
	issuing := members[len(members)-1]
	change.Target = issuing.kept.ID
	change.Text = fmt.Sprintf("%s issues from now on, until %s", issuing.cert.Subject.CommonName, issuing.cert.NotAfter.Format(time.RFC3339))
	if n.Root {
		change.Text = "new root " + members[0].cert.Subject.CommonName + "; " + change.Text
	}
	old := retire(h, n, now)
	changed, err := a.listed(h, append(members, old...), signer, members[0])
	if err != nil {
		return change, err
	}
	if err := a.keep(ctx, nil, changed...); err != nil {
		return change, err
	}
	if err := a.read(ctx); err != nil {
		return change, err
	}
	text, err := a.sweep(ctx)
	change.Text += text
	return change, err
}

// next makes the new members, the root first, if there is a new one. It returns the root
// that signs until now with its key.
func (a *Authority) next(h *hierarchy, n Rotation, now time.Time) (members []*member, signer *member, err error) {
	signer, err = h.active(Root, now)
	if err != nil && !n.Root {
		return nil, nil, err
	}
	if signer != nil {
		signer, err = withKey(signer, n.RootKey)
		if errors.Is(err, ErrOffline) && n.Root && n.Compromised {
			signer, err = nil, nil // what it says counts no more
		}
		if err != nil {
			return nil, nil, err
		}
	}
	root := signer
	if n.Root {
		if root, err = a.nextRoot(h, n, signer); err != nil {
			return nil, nil, err
		}
		members = append(members, root)
	}
	issuing, err := a.newIssuing(h.setup, root)
	if err != nil {
		return nil, nil, err
	}
	return append(members, issuing), signer, nil
}

// nextRoot makes the next root, signed by the one before it too, unless that is trusted no
// more.
func (a *Authority) nextRoot(h *hierarchy, n Rotation, before *member) (*member, error) {
	if n.Compromised {
		before = nil
	}
	return a.newRoot(h.setup, n.NextKey, before)
}

// withKey returns a root with its key, if that is here or was given.
func withKey(root *member, given secret.Value) (*member, error) {
	if given.Empty() {
		if root.key == nil {
			return nil, ErrOffline
		}
		return root, nil
	}
	key, err := readKey(given)
	if err != nil {
		return nil, err
	}
	if !IsKeyOf(root.cert, key) {
		return nil, fault("`pavise ca show` says which root signs", "the key is not that of the root %s", root.cert.Subject.CommonName)
	}
	return &member{kept: root.kept, version: root.version, cert: root.cert, cross: root.cross, key: key}, nil
}

// retire returns what becomes of those that were there before.
func retire(h *hierarchy, n Rotation, now time.Time) (old []*member) {
	for _, m := range h.members {
		if m.kept.Role == Root && !n.Root {
			continue
		}
		next := *m
		if !m.isRetired(now) {
			next.kept.Retired = now
		}
		if n.Compromised && m.kept.Revoked.IsZero() {
			next.kept.Revoked, next.kept.Reason = now, n.Reason
		}
		if next.kept.Retired != m.kept.Retired || next.kept.Revoked != m.kept.Revoked {
			old = append(old, &next)
		}
	}
	return old
}

// sweep revokes what issuing authorities have signed that are trusted no more. Each is
// marked when that is done, so that whatever broke off is done again.
func (a *Authority) sweep(ctx context.Context) (text string, err error) {
	h, err := a.hierarchy()
	if err != nil {
		return "", err
	}
	swept := false
	for _, m := range h.unswept() {
		done, err := a.options.Registry.RevokeIssuedBy(ctx, Pin(m.cert), m.kept.Reason)
		if err != nil && !errors.Is(err, client.ErrMissing) {
			return text, fmt.Errorf("revoke the certificates of %s: %w", m.cert.Subject.CommonName, err)
		}
		text += fmt.Sprintf("; %s is revoked", m.cert.Subject.CommonName)
		if done.Text != "" {
			text += ", and with it " + done.Text
		}
		next := *m
		next.kept.Swept, swept = true, true
		if err := a.keep(ctx, nil, &next); err != nil {
			return text, err
		}
	}
	if !swept {
		return "", nil
	}
	if err := a.read(ctx); err != nil {
		return text, err
	}
	return text, a.options.Refresh(ctx)
}

func (h *hierarchy) unswept() (found []*member) {
	for _, m := range h.members {
		if m.kept.Role == Issuing && !m.kept.Revoked.IsZero() && !m.kept.Swept {
			found = append(found, m)
		}
	}
	return found
}

// finish does what a rotation could not.
func (a *Authority) finish(ctx context.Context) error {
	if h, err := a.hierarchy(); err != nil || len(h.unswept()) == 0 {
		return err
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	if err := a.read(ctx); err != nil {
		return err
	}
	text, err := a.sweep(ctx)
	if text != "" {
		a.options.Changed("authority.revoke", "certificate authority", strings.TrimPrefix(text, "; "))
	}
	return err
}

// before is how long before the end of what it may sign an issuing authority is replaced.
const before = 30 * 24 * time.Hour

// Keep finishes what broke off, and does what is due if the clock may be believed: makes the next issuing authority
// before certificates would have to be cut short, if the root's key is here. What has ended
// stays: a clock may say so by mistake, and what is gone does not come back.
func (a *Authority) Keep(ctx context.Context) error {
	h, err := a.hierarchy()
	if errors.Is(err, ErrNone) {
		return nil
	}
	if err := a.finish(ctx); err != nil {
		return err
	}
	if steady, err := a.Steady(ctx); err != nil || !steady {
		return err
	}
	now := a.options.Now()
	issuing, err := h.active(Issuing, now)
	if err == nil && issuing.cert.NotAfter.Sub(now) > a.longest()+before {
		return nil
	}
	root, rootErr := h.active(Root, now)
	if rootErr != nil || root.key == nil || errors.Is(err, errLater) {
		return errors.Join(err, rootErr) // its end is told as any other's
	}
	if issuing != nil && !root.cert.NotAfter.After(issuing.cert.NotAfter) {
		return nil // the next one would end no later
	}
	change, err := a.Rotate(ctx, Rotation{})
	if err == nil {
		a.options.Changed(change.Action, change.Target, change.Text)
	}
	return err
}

// Member describes one of the authority's own certificates.
type Member struct {
	ID          string
	Role        Role
	State       string // active, retired, revoked, ended, later
	Certificate *x509.Certificate
	Offline     bool // its key is kept elsewhere
	Listed      bool // there is a revocation list of it
	Serial      string
}

// Members describes the authority's own certificates, newest first.
func (a *Authority) Members() ([]Member, error) {
	h, err := a.hierarchy()
	if err != nil {
		return nil, err
	}
	now := a.options.Now()
	var all []Member
	for _, m := range h.members {
		state := "active"
		switch {
		case !m.kept.Revoked.IsZero():
			state = "revoked"
		case !now.Before(m.cert.NotAfter):
			state = "ended"
		case m.isRetired(now):
			state = "retired"
		case now.Before(m.cert.NotBefore):
			state = "later" // it was made by a clock that was ahead
		}
		all = append(all, Member{
			ID: m.kept.ID, Role: m.kept.Role, State: state, Certificate: m.cert, Offline: m.key == nil, Listed: m.isAsked(now),
			Serial: hex.EncodeToString(m.cert.SerialNumber.Bytes()),
		})
	}
	slices.SortStableFunc(all, func(x, y Member) int {
		return map[Role]int{Root: 0, Issuing: 1}[x.Role] - map[Role]int{Root: 0, Issuing: 1}[y.Role]
	})
	return all, nil
}
