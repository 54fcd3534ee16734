package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Checkpoint is a signed statement of how far the log of a node had come. One that is
// kept elsewhere shows a rewriting even by somebody who has every key of the node but
// this signature's.
//
// As text it is a signed note (c2sp.org/signed-note) that holds a checkpoint
// (c2sp.org/tlog-checkpoint), so that tools of others verify it:
//
//	gw1
//	1000
//	y8Jq…=
//	mac 4Zt…=
//	time 2026-11-23T12:00:00Z
//
//	— gw1 kf…=
//
// The lines are the log's name, the number of its records, the root of their tree, and
// two lines of ours: the mac of the last record, and when it was signed.
type Checkpoint struct {
	Node string // name of the log, and of its key
	Seq  uint64 // records; the number of the last
	Root Hash
	Mac  Hash // of record Seq in the keyed chain
	Time time.Time
	Sig  []byte // Ed25519 over [Checkpoint.Text]

	key uint32 // hash of the key, as the signature names it
}

const (
	// maxNote bounds the text of a checkpoint, with signatures of witnesses.
	maxNote       = 16 << 10
	maxSignatures = 32
	algorithm     = 1 // Ed25519, of signed notes

	signatureMark = "— "
)

// Text is what is signed: five lines, each ended by a line break.
func (c *Checkpoint) Text() []byte {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, "%s\n%d\n%s\nmac %s\ntime %s\n", c.Node, c.Seq, encode(c.Root[:]), encode(c.Mac[:]), c.Time.UTC().Format(time.RFC3339))
}

// MarshalText implements [encoding.TextMarshaler]: the whole note.
func (c Checkpoint) MarshalText() ([]byte, error) {
	signature := append(binary.BigEndian.AppendUint32(nil, c.key), c.Sig...)
	return fmt.Appendf(nil, "%s\n%s%s %s\n", c.Text(), signatureMark, c.Node, base64.StdEncoding.EncodeToString(signature)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It is strict. Of several signatures,
// those with other names are passed over: witnesses add them.
func (c *Checkpoint) UnmarshalText(text []byte) error {
	if len(text) > maxNote {
		return fmt.Errorf("a checkpoint has at most %d bytes", maxNote)
	}
	body, signatures, ok := bytes.Cut(text, []byte("\n\n"))
	if !ok {
		return errors.New("it is no signed note: it has no blank line before its signatures")
	}
	p, err := parseBody(string(body))
	if err != nil {
		return err
	}
	if err := p.parseSignatures(string(signatures)); err != nil {
		return err
	}
	if !bytes.Equal(p.Text(), append(body, '\n')) {
		return errors.New("it is not written as a checkpoint is")
	}
	*c = p
	return nil
}

func parseBody(body string) (c Checkpoint, err error) {
	lines := strings.Split(body, "\n")
	if len(lines) != 5 {
		return c, fmt.Errorf("a checkpoint of this log has five lines, not %d", len(lines))
	}
	if c.Node = lines[0]; c.Node == "" || c.Node != nodeName(c.Node) {
		return c, errors.New("its first line is no name of a log")
	}
	if c.Seq, err = strconv.ParseUint(lines[1], 10, 64); err != nil {
		return c, errors.New("its second line is no number of records")
	}
	if err := c.Root.UnmarshalText([]byte(lines[2])); err != nil {
		return c, errors.New("its third line is no root of a tree")
	}
	mac, ok := strings.CutPrefix(lines[3], "mac ")
	if !ok || c.Mac.UnmarshalText([]byte(mac)) != nil {
		return c, errors.New("its fourth line is no mac")
	}
	at, ok := strings.CutPrefix(lines[4], "time ")
	if c.Time, err = time.Parse(time.RFC3339, at); !ok || err != nil {
		return c, errors.New("its fifth line is no time")
	}
	return c, nil
}

func (c *Checkpoint) parseSignatures(text string) error {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] != "" || len(lines) < 2 || len(lines) > maxSignatures+1 {
		return errors.New("it has no signatures, or too many, or the last is not finished")
	}
	for _, line := range lines[:len(lines)-1] {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), signatureMark)
		name, encoded, both := strings.Cut(rest, " ")
		signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || !both || name == "" || err != nil || len(signature) < 5 {
			return errors.New("a line behind its blank line is no signature")
		}
		if name != c.Node || len(signature) != 4+ed25519.SignatureSize || c.Sig != nil {
			continue
		}
		c.key, c.Sig = binary.BigEndian.Uint32(signature), signature[4:]
	}
	if c.Sig == nil {
		return fmt.Errorf("it has no signature of %s", c.Node)
	}
	return nil
}

// Signed reports whether the holder of the key made the checkpoint.
func (c *Checkpoint) Signed(public ed25519.PublicKey) bool {
	return len(public) == ed25519.PublicKeySize && c.key == keyHash(c.Node, public) && ed25519.Verify(public, c.Text(), c.Sig)
}

// signCheckpoint makes a checkpoint.
func signCheckpoint(node string, at head, root hashValue, now time.Time, key ed25519.PrivateKey) Checkpoint {
	c := Checkpoint{Node: node, Seq: at.seq, Root: Hash(root), Mac: Hash(at.mac), Time: now.UTC().Truncate(time.Second)}
	public, _ := key.Public().(ed25519.PublicKey) // an Ed25519 key's public half is one
	c.key, c.Sig = keyHash(node, public), ed25519.Sign(key, c.Text())
	return c
}

// keyHash names a key in signatures.
func keyHash(name string, public ed25519.PublicKey) uint32 {
	h := sha256.Sum256(append(fmt.Appendf(nil, "%s\n", name), append([]byte{algorithm}, public...)...))
	return binary.BigEndian.Uint32(h[:])
}

// VerifierKey writes the public key of a log's checkpoints as tools for signed notes want
// it: name+hash+key.
func VerifierKey(node string, public ed25519.PublicKey) string {
	name := nodeName(node)
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, public), base64.StdEncoding.EncodeToString(append([]byte{algorithm}, public...)))
}

// ParseVerifierKey reads what [VerifierKey] wrote.
func ParseVerifierKey(text string) (node string, public ed25519.PublicKey, err error) {
	name, rest, _ := strings.Cut(text, "+")
	_, encoded, ok := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != algorithm {
		return "", nil, errors.New("it is no key of checkpoints: want name+hash+key, as `pavise log key --note` writes it")
	}
	public = key[1:]
	if name == "" || VerifierKey(name, public) != text {
		return "", nil, errors.New("the hash of the key is not that of its name and bytes: it was not copied whole")
	}
	return name, public, nil
}

// nodeName makes a name that can stand in a signed note.
func nodeName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '+' {
			return '_'
		}
		return r
	}, name)
	if clean == "" {
		return "log"
	}
	return clean[:min(len(clean), 255)]
}
