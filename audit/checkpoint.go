package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Checkpoint is a signed statement of how far the chain of a node had come. One
// that is kept elsewhere shows a rewriting even by somebody who has every key of
// the node but this signature's.
type Checkpoint struct {
	Node string
	Seq  uint64
	Mac  []byte
	Time time.Time
	Sig  []byte // Ed25519 over [Checkpoint.Text]
}

// checkpointsName is the file of checkpoints, one JSON object a line:
//
//	{"node":"gw1","seq":1000,"mac":"…","time":"2026-11-23T12:00:00Z","sig":"…"}
//
// with mac and sig in base64url without padding.
const (
	checkpointsName = "checkpoints.jsonl"
	maxCheckpoint   = 2 << 10
)

// Text is what is signed: five lines, each ended by a line break.
func (c *Checkpoint) Text() []byte {
	return fmt.Appendf(nil, "pavise-checkpoint-v1\n%s\n%d\n%s\n%s\n", c.Node, c.Seq,
		base64.RawURLEncoding.EncodeToString(c.Mac), c.Time.UTC().Format(time.RFC3339))
}

// Signed reports whether the holder of the key made the checkpoint.
func (c *Checkpoint) Signed(public ed25519.PublicKey) bool {
	return len(public) == ed25519.PublicKeySize && len(c.Mac) == macSize && ed25519.Verify(public, c.Text(), c.Sig)
}

// signCheckpoint makes a checkpoint.
func signCheckpoint(node string, at head, now time.Time, key ed25519.PrivateKey) Checkpoint {
	c := Checkpoint{Node: node, Seq: at.seq, Mac: bytes.Clone(at.mac[:]), Time: now.UTC().Truncate(time.Second)}
	c.Sig = ed25519.Sign(key, c.Text())
	return c
}

type writtenCheckpoint struct {
	Node string `json:"node"`
	Seq  uint64 `json:"seq"`
	Mac  string `json:"mac"`
	Time string `json:"time"`
	Sig  string `json:"sig"`
}

// MarshalJSON implements [json.Marshaler], in the form of the file.
func (c Checkpoint) MarshalJSON() ([]byte, error) {
	encode := base64.RawURLEncoding.EncodeToString
	return json.Marshal(writtenCheckpoint{c.Node, c.Seq, encode(c.Mac), c.Time.UTC().Format(time.RFC3339), encode(c.Sig)})
}

// UnmarshalJSON implements [json.Unmarshaler]; it is strict about everything but
// white space.
func (c *Checkpoint) UnmarshalJSON(text []byte) error {
	var w writtenCheckpoint
	fields := json.NewDecoder(bytes.NewReader(text))
	fields.DisallowUnknownFields()
	if err := fields.Decode(&w); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, w.Time)
	if err != nil {
		return errors.New("its time is no time")
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(w.Mac)
	if err != nil || len(mac) != macSize {
		return errors.New("its mac is no mac")
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(w.Sig)
	if err != nil || len(sig) != ed25519.SignatureSize {
		return errors.New("its signature is no signature")
	}
	*c = Checkpoint{Node: w.Node, Seq: w.Seq, Mac: mac, Time: at, Sig: sig}
	return nil
}

// Checkpoints returns the checkpoints of a log, oldest first, to keep them
// elsewhere. A last line that is not finished is left out; any other line that is no
// checkpoint is a [Fault]. Signatures are not looked at.
func Checkpoints(dir string) ([]Checkpoint, error) {
	points, _, err := readCheckpoints(dir)
	return points, err
}

// readCheckpoints also returns how long the whole lines are.
func readCheckpoints(dir string) (points []Checkpoint, size int64, err error) {
	file, err := os.Open(filepath.Join(dir, checkpointsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the checkpoints: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReaderSize(file, maxCheckpoint)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return points, size, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, 0, fmt.Errorf("read the checkpoints: %w", err)
		}
		var point Checkpoint
		if fault := json.Unmarshal(text, &point); err != nil || fault != nil {
			return nil, 0, &Fault{checkpointsName, number, 0, "it is no checkpoint"}
		}
		points, size = append(points, point), size+int64(len(text))
	}
}

// AppendCheckpoint makes a checkpoint durable behind those of a folder, of a log or
// of another place where its checkpoints are kept. One writer at a time.
func AppendCheckpoint(dir string, point Checkpoint) error {
	text, err := json.Marshal(point)
	if err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, checkpointsName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	at, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = file.Write(append(text, '\n')); err != nil {
			err = errors.Join(err, file.Truncate(at)) // half a line would spoil the next
		}
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	return nil
}

// keepCheckpoints replaces the file by some of its checkpoints, in one step.
func keepCheckpoints(dir string, points []Checkpoint) error {
	var text bytes.Buffer
	for _, point := range points {
		line, err := json.Marshal(point)
		if err != nil {
			return fmt.Errorf("thin out the checkpoints: %w", err)
		}
		text.Write(append(line, '\n'))
	}
	name := filepath.Join(dir, checkpointsName)
	file, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("thin out the checkpoints: %w", err)
	}
	_, err = file.Write(text.Bytes())
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("thin out the checkpoints: %w", err)
	}
	return syncFolder(dir)
}

// nodeName makes a name that stands on a line of its own in a checkpoint.
func nodeName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, name)
	return clean[:min(len(clean), 255)]
}
