package limit

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// Key joins the name of a limit and whom it counts for into a key for a
// [Limiter]. Different arguments never make the same key, whatever bytes they
// hold.
func Key(limit string, subject ...string) string {
	size := len(limit) + 8
	for _, s := range subject {
		size += len(s) + 8
	}
	var b strings.Builder
	b.Grow(size)
	writePart(&b, limit)
	for _, s := range subject {
		writePart(&b, s)
	}
	return b.String()
}

func writePart(b *strings.Builder, part string) {
	var digits [20]byte
	b.Write(strconv.AppendInt(digits[:0], int64(len(part)), 10))
	b.WriteByte(':')
	b.WriteString(part)
}

// Network is whom an address counts as: itself for IPv4, its /64 for IPv6,
// because a /64 is what one subscriber gets. It is comparable and costs no
// allocation. The zero Network stands for an address that could not be read.
type Network struct {
	bits uint64
	kind byte // 0: unknown, 4, 6
}

// NetworkOf returns the network of addr. IPv4 mapped into IPv6 is IPv4; a zone
// is dropped.
func NetworkOf(addr netip.Addr) Network {
	switch addr = addr.Unmap(); {
	case addr.Is4():
		four := addr.As4()
		return Network{bits: uint64(binary.BigEndian.Uint32(four[:])), kind: 4}
	case addr.Is6():
		sixteen := addr.As16()
		return Network{bits: binary.BigEndian.Uint64(sixteen[:8]), kind: 6}
	}
	return Network{}
}

// AddressKey returns the part of a key that stands for [NetworkOf] addr: some
// bytes, different for different networks.
func AddressKey(addr netip.Addr) string {
	n := NetworkOf(addr)
	var b [9]byte
	b[0] = n.kind
	switch n.kind {
	case 4:
		binary.BigEndian.PutUint32(b[1:], uint32(n.bits))
		return string(b[:5])
	case 6:
		binary.BigEndian.PutUint64(b[1:], n.bits)
		return string(b[:])
	}
	return string(b[:1])
}
