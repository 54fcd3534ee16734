package app

import (
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
)

const (
	tendEvery   = time.Second // how often the certificate authority looks for what is due
	forgetEvery = time.Hour   // how often it forgets what has ended long ago
)

// tending is what the upkeep of the authority remembers. It belongs to its goroutine.
type tending struct {
	told   time.Time // when trouble was last told
	forgot time.Time
	ends   expiry
}

// keepAuthority lets the authority do what is due, until the installation is closed.
func (a *App) keepAuthority() {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	t := &tending{}
	for {
		select {
		case <-a.life.Done():
			return
		case <-ticker.C:
			a.tend(t)
			a.warnOfEnds(&t.ends)
		}
	}
}

// tend lets the authority rotate, sign what others ask for, and renew the gateway's own
// certificates. The same trouble is told once a minute; that the clock has jumped, always.
func (a *App) tend(t *tending) {
	err := errors.Join(a.forget(t), a.State.Authority.Keep(a.life), a.owned.keep(a.life))
	if a.current().file.PKI.Status != "" {
		err = errors.Join(err, a.State.Status.Keep(a.life))
	}
	now := a.now()
	_, jumped := errors.AsType[*pki.JumpError](err)
	if err == nil || a.life.Err() != nil || !jumped && now.Sub(t.told) < time.Minute {
		return
	}
	t.told = now
	a.note("certificate_warning", "certificate authority", err.Error())
	a.warn(fmt.Errorf("certificate authority: %w", err))
}

// forget removes what ended long ago, if the clock may be believed: records of certificates,
// and enrolment tokens.
func (a *App) forget(t *tending) error {
	now := a.now()
	steady, err := a.State.Authority.Steady(a.life)
	if err != nil || !steady || now.Sub(t.forgot) < forgetEvery {
		return err
	}
	t.forgot = now
	_, err = a.State.View.ForgetCertificates(a.life, now.Add(-client.KeepCertificates))
	return errors.Join(err, a.State.Enrolment.Collect(a.life))
}
