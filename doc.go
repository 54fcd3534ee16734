// Package pavise guards HTTP endpoints: it decides who is calling, whether they
// may, and whether the request is fit to go on, and it keeps a record of every
// decision.
//
// A [Policy] says which [Shield] and which scopes each endpoint demands. [New]
// compiles it into a [Guard], and [Guard.Wrap] puts the guard in front of any
// [http.Handler]:
//
//	guard, err := pavise.New(policy)
//	…
//	server := &http.Server{Handler: guard.Wrap(mux), TLSConfig: guard.TLSConfig(base)}
//
// Behind the guard, [IdentityOf] tells who called. The path of a request is in
// guard.go, one line for each step, in the order in which they act.
//
// What the guard cannot see in a server of your own: net/http repairs some
// malformed requests before any handler runs (folded headers, a Content-Length
// beside chunked framing, absolute targets), and it does not tell the :scheme of
// HTTP/2. The gateway `pavise serve` has an edge of its own that refuses these; a
// library user keeps net/http's reading.
package pavise
