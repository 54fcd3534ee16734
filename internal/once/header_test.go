package once

import (
	"encoding/binary"
	"errors"
	"testing"
)

func headerBytes(h header) []byte {
	var b []byte
	for _, w := range h.words() {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}

func TestAHeaderIsReadAsItWasWritten(t *testing.T) {
	for _, capacity := range []int{1, 100, 1000, 8191, 8192, 100000, 1 << 20, 1 << 30} {
		h := newHeader(capacity)
		h.key = [32]byte{1, 2, 31: 3}
		h.created, h.inode, h.device = 4, 5, 6
		got, err := readHeader(headerBytes(h))
		if err != nil || got != h {
			t.Errorf("capacity %d: %+v, %v, want %+v", capacity, got, err, h)
		}
		slots := h.stripes * h.pages * bucketsPer * slotsPer
		if slots < 2*capacity || capacity > 10000 && slots > 3*capacity {
			t.Errorf("capacity %d: %d slots", capacity, slots)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	h := newHeader(1000)
	f.Add(headerBytes(h))
	f.Add([]byte{})
	broken := headerBytes(h)
	broken[20] = 0xff
	f.Add(broken)
	f.Fuzz(func(t *testing.T, b []byte) {
		// Give the fuzzer the checksum, which it cannot guess.
		if len(b) >= headerWords*8 && b[15*8] == 0 {
			var w [headerWords]uint64
			for i := range w {
				w[i] = binary.NativeEndian.Uint64(b[8*i:])
			}
			binary.NativeEndian.PutUint64(b[15*8:], checksum(w[:15]))
		}
		h, err := readHeader(b)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatalf("%v is not damage", err)
			}
			return
		}
		if h.stripes < 1 || h.stripes > maxStripes || h.pages < 1 || h.size() <= dataOffset {
			t.Fatalf("%+v of %d bytes", h, h.size())
		}
		if again, err := readHeader(headerBytes(h)); err != nil || again != h {
			t.Fatalf("%+v, %v, want %+v", again, err, h)
		}
	})
}

func FuzzReadState(f *testing.F) {
	f.Add(uint64(5), ^uint64(5), uint64(7), clean)
	f.Add(uint64(0), ^uint64(0), uint64(7), dirty)
	f.Add(uint64(0), uint64(0), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, cold, check, boot, word uint64) {
		s, err := readState([]uint64{wordCold: cold, wordColdCheck: check, wordBoot: boot, wordState: word})
		good := cold == ^check && (word == clean || word == dirty)
		if (err == nil) != good {
			t.Fatalf("%+v, %v", s, err)
		}
	})
}
