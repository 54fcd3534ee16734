package alert

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/replace"
)

// Silence keeps what a detection finds from being told for a time: of one subject, or of all.
// It is recorded all the same.
type Silence struct {
	Detection string    `json:"detection"` // its name, or "all"
	Subject   string    `json:"subject"`   // "network 192.0.2.0/24", or the name alone; "": all
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	Reason    string    `json:"reason"`
	By        string    `json:"by"`
}

// AllDetections stands for every detection in a [Silence].
const AllDetections = "all"

// Bounds of silences.
const (
	MaxSilence  = 30 * 24 * time.Hour
	maxSilences = 1000
	maxReason   = 256 // bytes, of a subject too
	maxFile     = 4 << 20
)

// ErrNotSilenced says that there is no such silence.
var ErrNotSilenced = errors.New("it is not silenced")

// Silences are those of an installation, kept in a file. They are safe for concurrent use.
type Silences struct {
	path string
	now  func() time.Time

	mu  sync.Mutex
	all []Silence
}

// OpenSilences reads the file; none is none.
func OpenSilences(path string, now func() time.Time) (*Silences, error) {
	s := &Silences{path: path, now: now}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the silences: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s.all); err != nil {
		return nil, fmt.Errorf("read the silences: %s is damaged; remove it, and what was silenced is told again: %w", path, err)
	}
	return s, nil
}

// Add silences, and replaces the silence of the same detection and subject.
func (s *Silences) Add(n Silence) (Silence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().UTC()
	n.Since = now
	if err := n.validate(); err != nil {
		return n, err
	}
	next := slices.DeleteFunc(slices.Clone(s.all), func(o Silence) bool { return !now.Before(o.Until) || o.is(n.Detection, n.Subject) })
	if len(next) >= maxSilences {
		return n, fmt.Errorf("there are %d silences already; end some with pavise log unsilence", maxSilences)
	}
	return n, s.keep(append(next, n))
}

func (n *Silence) validate() error {
	switch life := n.Until.Sub(n.Since); {
	case n.Detection == "":
		return errors.New("name a detection, or all")
	case n.Detection == AllDetections && n.Subject == "":
		return errors.New("silence a detection, or all of them about one subject: with everything silenced nobody would learn of an attack")
	case n.Detection == AllDetections && isWide(n.Subject):
		return fmt.Errorf("silence one detection, or no network wider than /%d for all: with the internet silenced nobody would learn of an attack", widestSilence)
	case life < time.Second || life > MaxSilence:
		return fmt.Errorf("a silence of %s: want up to 30d, since each has an end", life)
	case strings.TrimSpace(n.Reason) == "":
		return errors.New("say why: whoever misses an alert will ask")
	}
	for what, text := range map[string]string{"subject": n.Subject, "reason": n.Reason} {
		if len(text) > maxReason || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("the %s is longer than %d bytes, or has characters that cannot be printed", what, maxReason)
		}
	}
	return nil
}

// widestSilence is the shortest prefix of a network about which every detection can be silenced.
const widestSilence = 8 // bits: 10.0.0.0/8

func isWide(subject string) bool {
	wide, ok := network(strings.TrimPrefix(subject, "network "))
	return ok && wide.Bits() < widestSilence
}

func (n *Silence) is(detection, subject string) bool {
	return n.Detection == detection && n.Subject == subject
}

// Remove ends a silence; [ErrNotSilenced] if there is none.
func (s *Silences) Remove(detection, subject string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !slices.ContainsFunc(s.all, func(o Silence) bool { return now.Before(o.Until) && o.is(detection, subject) }) {
		return fmt.Errorf("%s: %w", strings.TrimSpace(detection+" "+subject), ErrNotSilenced)
	}
	return s.keep(slices.DeleteFunc(slices.Clone(s.all), func(o Silence) bool { return !now.Before(o.Until) || o.is(detection, subject) }))
}

// Erase ends the silences that name a person, and returns how many those were. What they silenced is
// told again: a silence that names nobody would silence all.
func (s *Silences) Erase(e *audit.Erasure) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.all), func(o Silence) bool {
		return e.Matches(&audit.Event{Class: audit.Detection, Target: o.Subject}) || e.Names(o.Reason)
	})
	erased := len(s.all) - len(next)
	if erased == 0 {
		return 0, nil
	}
	return erased, s.keep(next)
}

// keep writes the file in one step, and only then lets it hold.
func (s *Silences) keep(all []Silence) error {
	text, err := json.Marshal(all)
	if err == nil {
		err = replace.File(s.path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep the silences: %w", err)
	}
	s.all = all
	return nil
}

// All returns those that have not ended, the soonest to end first.
func (s *Silences) All() []Silence {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	all := slices.DeleteFunc(slices.Clone(s.all), func(o Silence) bool { return !now.Before(o.Until) })
	slices.SortFunc(all, func(a, b Silence) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Detection, b.Detection), cmp.Compare(a.Subject, b.Subject))
	})
	return all
}

// Silent reports whether nobody is to be told now of what a detection finds about a subject.
func (s *Silences) Silent(detection string, about Subject) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	return slices.ContainsFunc(s.all, func(o Silence) bool {
		return now.Before(o.Until) && (o.Detection == AllDetections || o.Detection == detection) && o.covers(about)
	})
}

// covers takes the subject with its kind, or the name alone; a network covers those within it.
func (n *Silence) covers(about Subject) bool {
	if n.Subject == "" || n.Subject == about.String() || n.Subject == about.Name {
		return true
	}
	if about.Kind != "network" {
		return false
	}
	outer, ok := network(strings.TrimPrefix(n.Subject, "network "))
	inner, fine := network(about.Name)
	return ok && fine && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// network reads a network, or an address, which is one of its own.
func network(text string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil
}
