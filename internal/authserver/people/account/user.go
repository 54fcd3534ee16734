package account

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Authentication context class references that accounts of ours reach.
const (
	ACROne = "urn:pavise:acr:one-factor"
	ACRTwo = "urn:pavise:acr:two-factors"
)

// Errors that callers decide by.
var (
	ErrWrong    = errors.New("the name, the password or the code is wrong")
	ErrDisabled = errors.New("the account is disabled")
	ErrUnknown  = errors.New("there is no such account")
	ErrTaken    = errors.New("there is an account of this name already")
	ErrHeld     = errors.New("too many wrong codes for this account; wait before the next")
)

// User is an account as others may see it.
type User struct {
	Subject       string // opaque, never given to anybody else
	Login         string // the normalised name
	Name          string
	Email         string
	EmailVerified bool
	Created       time.Time
	Disabled      string // the reason; empty: it is not
	HasPassword   bool
	MustChange    bool // the password, at the next sign-in
	Temporary     time.Time
	HasTOTP       bool
	RecoveryCodes int // that are left
	Federated     []Identity
	// Epoch rises with each change after which earlier sign-ins are over.
	Epoch int64
}

// Identity is who a person is elsewhere.
type Identity struct {
	Issuer  string    `json:"issuer"`
	Subject string    `json:"subject"`
	Via     string    `json:"via"` // name of the provider in the configuration
	Since   time.Time `json:"since"`
}

// kept is an account as its row holds it.
type kept struct {
	Subject       string     `json:"subject"`
	Login         string     `json:"login"`
	Name          string     `json:"name,omitempty"`
	Email         string     `json:"email,omitempty"`
	EmailVerified bool       `json:"email_verified,omitempty"`
	Created       time.Time  `json:"created"`
	Disabled      string     `json:"disabled,omitempty"`
	Password      *hash      `json:"password,omitempty"`
	MustChange    bool       `json:"must_change,omitempty"`
	Temporary     time.Time  `json:"temporary,omitzero"` // when the temporary password ends
	TOTP          *totp      `json:"totp,omitempty"`
	Recovery      []string   `json:"recovery,omitempty"` // names of the codes that are left
	Federated     []Identity `json:"federated,omitempty"`
	Epoch         int64      `json:"epoch"`
	Stamp         int64      `json:"stamp"` // rises when what signs in changes: password, second factor
}

func (k *kept) user() User {
	return User{
		Subject: k.Subject, Login: k.Login, Name: k.Name, Email: k.Email, EmailVerified: k.EmailVerified,
		Created: k.Created, Disabled: k.Disabled, HasPassword: k.Password != nil, MustChange: k.MustChange,
		Temporary: k.Temporary, HasTOTP: k.TOTP != nil, RecoveryCodes: len(k.Recovery),
		Federated: slices.Clone(k.Federated), Epoch: k.Epoch,
	}
}

// Bounds of texts that are kept, in bytes.
const (
	maxText      = 256
	maxFederated = 16
)

func checkTexts(texts ...string) error {
	for _, text := range texts {
		if len(text) > maxText {
			return fmt.Errorf("a text of an account has at most %d bytes", maxText)
		}
		for _, r := range text {
			if r < ' ' || r == 0x7f || r == 0xfffd || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				return errors.New("a text of an account holds control characters")
			}
		}
	}
	return nil
}
