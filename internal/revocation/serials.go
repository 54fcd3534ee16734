package revocation

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"time"
)

// maxSerial is the longest serial number that certificates may have, in bytes (RFC 5280
// §4.1.2.2).
const maxSerial = 20

// Serial is a serial number as lists are searched by it: its bytes, from the most
// significant on.
type Serial struct {
	high     uint32
	mid, low uint64
}

// SerialOf returns a certificate's serial number; one that is too long for any certificate
// by RFC 5280 is found in no list.
func SerialOf(c *x509.Certificate) Serial {
	s, _ := serialOf(c.SerialNumber.Bytes())
	return s
}

// serialOf reads a serial number, big-endian. It reports whether one of that length can be.
func serialOf(text []byte) (Serial, bool) {
	var all [maxSerial]byte
	text = bytes.TrimLeft(text, "\x00")
	if len(text) > maxSerial {
		return Serial{}, false
	}
	copy(all[maxSerial-len(text):], text)
	return Serial{binary.BigEndian.Uint32(all[:]), binary.BigEndian.Uint64(all[4:]), binary.BigEndian.Uint64(all[12:])}, true
}

func (s *Serial) compare(o *Serial) int {
	switch {
	case s.high != o.high:
		return cmp.Compare(s.high, o.high)
	case s.mid != o.mid:
		return cmp.Compare(s.mid, o.mid)
	}
	return cmp.Compare(s.low, o.low)
}

// serials are the revoked certificates of a list with the seconds since 1970 in which they
// were revoked. A million of them take 24 MB. Immutable once sorted.
type serials []entry

type entry struct {
	high, at uint32
	mid, low uint64
}

func (e *entry) serial() Serial { return Serial{e.high, e.mid, e.low} }

func (all *serials) add(s Serial, at time.Time) {
	seconds := uint32(max(0, min(at.Unix(), 1<<32-1)))
	*all = append(*all, entry{s.high, seconds, s.mid, s.low})
}

// sort makes find possible.
func (all serials) sort() {
	order := func(a, b entry) int {
		x, y := a.serial(), b.serial()
		return x.compare(&y)
	}
	if !slices.IsSortedFunc(all, order) {
		slices.SortFunc(all, order)
	}
}

// find returns when a serial number was revoked.
func (all serials) find(s *Serial) (at time.Time, revoked bool) {
	from, to := 0, len(all)
	for from < to {
		middle := int(uint(from+to) >> 1)
		found := all[middle].serial()
		switch order := found.compare(s); {
		case order == 0:
			return time.Unix(int64(all[middle].at), 0).UTC(), true
		case order < 0:
			from = middle + 1
		default:
			to = middle
		}
	}
	return time.Time{}, false
}
