package audit

import "encoding/binary"

// ChildSpan returns the id of a span below a request's own: of a [Part], or of the call of the
// upstream ([CallSpan]). It follows from the request's, so that events hold none of them, and
// whoever makes spans of an event twice makes the same ones.
func ChildSpan(span [8]byte, child Part) [8]byte {
	const step = 0x9e3779b97f4a7c15 // of splitmix64, which mixes all bits and loses none
	z := binary.BigEndian.Uint64(span[:]) + (uint64(child)+1)*step
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	if z == 0 { // which would be no id
		z = step
	}
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], z)
	return id
}

// CallSpan is the call of the upstream among the spans below a request's own.
const CallSpan Part = Parts
