package revocation

import (
	"bytes"
	"slices"
	"time"
)

// maxSerial is the longest serial number that certificates may have, in bytes (RFC 5280
// §4.1.2.2).
const maxSerial = 20

// entry is a revoked serial number, right-aligned, with the second since 1970 in which it
// was revoked. A million of them take 24 MB.
type entry struct {
	serial [maxSerial]byte
	at     uint32
}

// serials are the revoked certificates of a list. Immutable once sorted.
type serials []entry

// add takes in a serial number, big-endian. It reports whether one of that length can be.
func (all *serials) add(serial []byte, at time.Time) bool {
	serial = bytes.TrimLeft(serial, "\x00")
	if len(serial) > maxSerial {
		return false
	}
	e := entry{at: uint32(max(0, min(at.Unix(), 1<<32-1)))}
	copy(e.serial[maxSerial-len(serial):], serial)
	*all = append(*all, e)
	return true
}

// sort makes find possible.
func (all serials) sort() {
	if slices.IsSortedFunc(all, compare) {
		return
	}
	slices.SortFunc(all, compare)
}

func compare(a, b entry) int { return bytes.Compare(a.serial[:], b.serial[:]) }

// find returns when a serial number was revoked.
func (all serials) find(serial *[maxSerial]byte) (at time.Time, revoked bool) {
	i, found := slices.BinarySearchFunc(all, serial, func(e entry, want *[maxSerial]byte) int {
		return bytes.Compare(e.serial[:], want[:])
	})
	if !found {
		return time.Time{}, false
	}
	return time.Unix(int64(all[i].at), 0).UTC(), true
}
