package people

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// proof is how far somebody has come who is signing in. It travels in the form, under a
// keyed hash that binds it to the browser and to the address; so nothing is kept for those
// who never come back.
type proof struct {
	Stage   string   `json:"s"` // what comes next
	Subject string   `json:"u"`
	Stamp   int64    `json:"v"`           // of the account: what was proved is void when it changes
	AMR     []string `json:"a"`           // what was proved
	Until   int64    `json:"t"`           // Unix seconds
	Secret  []byte   `json:"k,omitempty"` // of an authenticator app that is being set up
}

// Stages.
const (
	stageSecond   = "second"
	stagePassword = "password"
	stageTOTP     = "totp"
)

const (
	proofLife = 5 * time.Minute
	maxProof  = 1024 // bytes
)

var errProof = errors.New("what was proved is too old, or not of this browser")

// seal returns a proof as the form carries it.
func (s *Service) seal(v *visit, action string, p proof) (string, error) {
	p.Until = s.now().Add(proofLife).Unix()
	body, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode a proof: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + s.records.Name(v.bound("proof", action, text)), nil
}

// open reads a proof that is for the given stage.
func (s *Service) open(v *visit, action, stage, sealed string) (proof, error) {
	var p proof
	text, hash, ok := strings.Cut(sealed, ".")
	if !ok || len(sealed) > maxProof || !s.is(hash, v.bound("proof", action, text)) {
		return p, errProof
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(body, &p) != nil {
		return proof{}, errProof
	}
	if p.Stage != stage || s.now().Unix() >= p.Until {
		return proof{}, errProof
	}
	return p, nil
}
