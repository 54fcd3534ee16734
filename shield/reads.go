package shield

import "strings"

// Reads are parts of a request that somebody looks at who judges it. Whoever explains a request of which
// not all is known asks only those who look at nothing else: it is what the method Reads of a layer says.
type Reads uint8

// The parts. Path, method and host are always known.
const (
	ReadsBody Reads = 1 << iota
	ReadsQuery
	ReadsHeader
	ReadsAddress // the caller's
	ReadsToken   // what only the credential itself tells: attributes, scopes
	ReadsInput   = ReadsBody | ReadsQuery | ReadsHeader
	ReadsAll     = ReadsInput | ReadsAddress | ReadsToken
)

// String names the parts.
func (r Reads) String() string {
	var names []string
	for i, name := range [...]string{"the body", "the query", "headers", "the caller's address", "what the credential says"} {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
