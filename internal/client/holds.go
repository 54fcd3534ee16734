package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pavise.dev/pavise/shield"
)

// Hold demands more for a time: a credential is refused, or the tokens of somebody are, or a
// person has to sign in again. It is asked about only when a credential was proved, so that
// nobody is held up by others who know his name. It ends by itself.
type Hold struct {
	Kind       string    `json:"kind,omitempty"`       // of the shield that proves the credential
	Credential string    `json:"credential,omitempty"` // either the id of one that is kept here …
	Issuer     string    `json:"issuer,omitempty"`     // … or the issuer of tokens
	Subject    string    `json:"subject,omitempty"`    // and its name for who has them
	SignIn     bool      `json:"sign_in,omitempty"`    // of tokens: they pass if they tell of a sign-in after Since
	Name       string    `json:"name,omitempty"`       // how events name who has the tokens
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	Reason     string    `json:"reason,omitempty"`
}

// Bounds of holds.
const (
	maxHolds    = 100_000
	maxHoldLife = 90 * 24 * time.Hour
)

// About names what is held: "credential api_key:k1", "tokens of ann".
func (h *Hold) About() string {
	switch {
	case h.Credential != "":
		return "credential " + h.Kind + ":" + h.Credential
	case h.Name != "":
		return "tokens of " + h.Name
	}
	return "tokens of " + h.Subject
}

// holdKey is a credential of a kind, or whose tokens of which issuer. What it is called is not
// enough: a token without an id of its own has the name of all tokens of its client.
type holdKey struct {
	what, of, name string
}

// What is held in a holdKey.
const (
	heldCredential = "credential" // of a kind
	heldTokens     = "tokens"     // of an issuer
	heldSignIn     = "sign-in"    // of an issuer
)

func (h *Hold) key() holdKey {
	switch {
	case h.Credential != "":
		return holdKey{heldCredential, h.Kind, h.Credential}
	case h.SignIn:
		return holdKey{heldSignIn, h.Issuer, h.Subject}
	}
	return holdKey{heldTokens, h.Issuer, h.Subject}
}

// row is unambiguous and short, whatever the names hold.
func (k holdKey) row() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s:%d:%s%s", k.what, len(k.of), k.of, k.name)))
}

// Validate refuses what cannot be held.
func (h *Hold) Validate() error {
	switch life := h.Until.Sub(h.Since); {
	case (h.Credential == "") == (h.Subject == ""):
		return errors.New("name either a credential, or whose tokens")
	case h.Credential != "" && !credentialKind.MatchString(h.Kind):
		return fmt.Errorf("kind %s: want the kind of shield that proves the credential", quote(h.Kind))
	case h.Subject != "" && h.Issuer == "":
		return errors.New("name the issuer of the tokens")
	case h.Credential != "" && h.SignIn:
		return errors.New("with a credential nobody signs in")
	case len(h.Issuer) > maxIssuer || len(h.Credential) > maxIssuer || len(h.Subject) > maxIssuer || len(h.Name) > maxIssuer:
		return fmt.Errorf("names have at most %d bytes each", maxIssuer)
	case life < time.Second || life > maxHoldLife:
		return fmt.Errorf("for %s: want up to 90d", life)
	}
	return checkTexts(map[string]string{"reason": h.Reason})
}

// Hold demands more, until h.Until. What is held already is held as this says, but not for a
// shorter time.
func (r *Registry) Hold(ctx context.Context, h Hold) (Change, error) {
	if h.Since.IsZero() {
		h.Since = r.now()
	}
	h.Since, h.Until = h.Since.UTC(), h.Until.UTC()
	change := Change{Action: "credential.suspend", Target: h.About()}
	if h.SignIn {
		change.Action = "user.step_up"
	}
	if err := h.Validate(); err != nil {
		return change, err
	}
	known, err := r.Holds(ctx)
	if err != nil {
		return change, err
	}
	if len(known) >= maxHolds {
		return change, fmt.Errorf("%d are held already", len(known))
	}
	err = r.retry(func() error {
		var before Hold
		row, err := r.rows.read(ctx, tableHold, h.key().row(), &before)
		if err != nil {
			return err
		}
		next := h
		if row.Body != nil && before.Until.After(next.Until) {
			next.Until = before.Until
		}
		return r.rows.write(ctx, entry{tableHold, h.key().row(), row.Version, next})
	})
	until := h.Until.Format(time.RFC3339)
	change.Text = fmt.Sprintf("%s refused until %s%s", h.About(), until, because(h.Reason))
	if h.SignIn {
		change.Text = fmt.Sprintf("%s have to tell of a sign-in after %s, until %s%s", h.About(), h.Since.Format(time.RFC3339), until, because(h.Reason))
	}
	return change, err
}

// ErrNotHeld says that nothing is demanded of it.
var ErrNotHeld = errors.New("it is neither suspended nor has to sign in again")

// Release ends all holds of a credential id, or of somebody's tokens by the name that events
// have or the issuer's; [ErrNotHeld] if there is none.
func (r *Registry) Release(ctx context.Context, name string) (Change, error) {
	change := Change{Action: "credential.unsuspend", Target: name}
	known, err := r.Holds(ctx)
	if err != nil {
		return change, err
	}
	known = slices.DeleteFunc(known, func(h Hold) bool {
		return name == "" || !slices.Contains([]string{h.Credential, h.Subject, h.Name, h.About()}, name)
	})
	if len(known) == 0 {
		return change, fmt.Errorf("%s: %w", quote(name), ErrNotHeld)
	}
	for i := range known {
		id := known[i].key().row()
		err := r.retry(func() error {
			row, err := r.rows.read(ctx, tableHold, id, &Hold{})
			if err != nil || row.Body == nil {
				return err
			}
			return r.rows.write(ctx, entry{tableHold, id, row.Version, nil})
		})
		if err != nil {
			return change, err
		}
	}
	change.Target = known[0].About()
	change.Text = known[0].About() + ": judged as before again"
	return change, nil
}

// Holds returns what is held now, the soonest to end first.
func (r *Registry) Holds(ctx context.Context) ([]Hold, error) {
	known, err := all[Hold](ctx, r.rows, tableHold, nil)
	now := r.now()
	known = slices.DeleteFunc(known, func(h Hold) bool { return !now.Before(h.Until) })
	slices.SortFunc(known, func(a, b Hold) int { return a.Until.Compare(b.Until) })
	return known, err
}

// holds are those that requests ask for. Immutable.
type holds struct {
	by   map[holdKey]Hold
	rows map[string]holdKey // of each row
}

// Held refuses an identity of which more is demanded: one of its credentials is suspended, its
// tokens are, or its person must have signed in since. Call it only with what was proved.
func (v *View) Held(id *shield.Identity) error {
	known := v.held.Load()
	if known == nil || len(known.by) == 0 {
		return nil
	}
	return known.held(id, v.now(), *v.turned.Load())
}

func (h *holds) held(id *shield.Identity, now, turned time.Time) error {
	found, ok := h.in(holdKey{heldCredential, id.Shield, id.CredentialID}, now, turned)
	if !ok {
		found, ok = h.in(holdKey{heldTokens, id.Issuer, id.Subject}, now, turned)
	}
	if ok {
		return shield.Refuse(shield.SuspendedCredential, "suspended until %s%s", found.Until.Format(time.RFC3339), because(found.Reason)).
			Of(id.CredentialID, id.Client, true)
	}
	if found, ok := h.in(holdKey{heldSignIn, id.Issuer, id.Subject}, now, turned); ok && id.User != "" && !id.SignedIn.After(found.Since) {
		return signInAgain(id, &found, now)
	}
	for _, other := range id.With {
		if err := h.held(other, now, turned); err != nil {
			return err
		}
	}
	return nil
}

// in is what is held now.
func (h *holds) in(key holdKey, now, turned time.Time) (Hold, bool) {
	found, ok := h.by[key]
	t := term{found.Since, found.Until}.in(now, turned)
	found.Since, found.Until = t.since, t.until
	return found, ok && now.Before(found.Until)
}

// signInAgain asks for a sign-in that is younger than the hold (RFC 9470 §3).
func signInAgain(id *shield.Identity, h *Hold, now time.Time) error {
	why := "the token does not say when the person signed in"
	if !id.SignedIn.IsZero() {
		why = "the person signed in at " + id.SignedIn.UTC().Format(time.RFC3339)
	}
	refusal := shield.Refuse(shield.StepUp, "a sign-in after %s is wanted until %s%s; %s", h.Since.Format(time.RFC3339), h.Until.Format(time.RFC3339), because(h.Reason), why).
		Of(id.CredentialID, id.Client, true)
	if id.Scheme == "" {
		return refusal
	}
	age := max(int64(now.Sub(h.Since)/time.Second), 1)
	return refusal.With(fmt.Sprintf(`%s error="insufficient_user_authentication", error_description="sign in again", max_age="%d"`, id.Scheme, age))
}

// hold takes in a row.
func (a *applying) hold(row Row) error {
	var h Hold
	there, err := a.decode(row, &h)
	if err != nil {
		return err
	}
	if there && h.key().row() != row.ID {
		return fmt.Errorf("%s/%s: it names itself %s: %w", row.Table, row.ID, h.About(), ErrCorrupt)
	}
	if a.holds == nil {
		a.holds = &holds{map[holdKey]Hold{}, map[string]holdKey{}}
		if known := a.view.held.Load(); known != nil {
			a.holds = &holds{maps.Clone(known.by), maps.Clone(known.rows)}
		}
	}
	if before, ok := a.holds.rows[row.ID]; ok {
		delete(a.holds.by, before)
		delete(a.holds.rows, row.ID)
	}
	if there {
		a.holds.by[h.key()], a.holds.rows[row.ID] = h, h.key()
	}
	return nil
}

// collectHolds forgets holds that have ended.
func (v *View) collectHolds(ctx context.Context) error {
	known := v.held.Load()
	if known == nil {
		return nil
	}
	now := v.now()
	for key, h := range known.by {
		if now.Before(h.Until) {
			continue
		}
		var kept Hold
		row, err := v.ledger.read(ctx, tableHold, key.row(), &kept)
		if err == nil && row.Body != nil && !now.Before(kept.Until) {
			err = v.ledger.write(ctx, entry{tableHold, key.row(), row.Version, nil})
		}
		if err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("forget holds that have ended: %w", err)
		}
	}
	return nil
}
