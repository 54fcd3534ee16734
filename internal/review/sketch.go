package review

import (
	"math"
	"slices"
)

// sketchSize is how many are kept: up to so many are counted exactly, more with a standard
// error of about 1/16.
const sketchSize = 256

// sketch counts different names in bounded memory: it keeps the smallest of their digests, and
// concludes from how close these lie how many there are (k minimum values). The zero value has
// seen none.
type sketch struct {
	least []uint64 // sorted
}

func (s *sketch) add(name string) { s.take(digest(name)) }

func (s *sketch) addBytes(name []byte) { s.take(digest(name)) }

// merge adds what another one has seen.
func (s *sketch) merge(o *sketch) {
	for _, d := range o.least {
		s.take(d)
	}
}

func (s *sketch) take(d uint64) {
	i, known := slices.BinarySearch(s.least, d)
	if known || i == sketchSize {
		return
	}
	if len(s.least) == sketchSize {
		s.least = s.least[:sketchSize-1]
	}
	s.least = slices.Insert(s.least, i, d)
}

// count is how many different names were added; exact says whether it is no estimate.
func (s *sketch) count() (n int, exact bool) {
	if len(s.least) < sketchSize {
		return len(s.least), true
	}
	return int((sketchSize - 1) / (float64(s.least[sketchSize-1]) / math.MaxUint64)), false
}

// digest spreads names evenly: FNV-1a, and the last step of SplitMix64.
func digest[T string | []byte](name T) uint64 {
	d := uint64(14695981039346656037)
	for i := range len(name) {
		d = (d ^ uint64(name[i])) * 1099511628211
	}
	d = (d ^ d>>30) * 0xbf58476d1ce4e5b9
	d = (d ^ d>>27) * 0x94d049bb133111eb
	return d ^ d>>31
}
