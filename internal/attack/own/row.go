package own

import "fmt"

// unseen are rows of the catalogue that nobody can try from outside, with why. Pavise's own tests
// carry them (make attacks).
func unseen() []struct{ rows, why string } {
	return []struct{ rows, why string }{
		{"18, 100", "differences of time are noise from here: they are shown by construction and in a benchmark"},
		{"19, 112, 121, 157, 160", "as far as they are about what the service is sent: it is not asked"},
		{"11, 30–33, 36, 44, 163", "as far as they need a token that an issuer signed wrongly: nobody here can sign for it"},
		{"40, 85, 137–142", "they are about configuration and installation: pavise check"},
		{"41, 42, 77, 132, 134, 146, 147, 162, 164, 167, 169", "they need a fault of something else, or another time"},
		{"48–70", "the authorization server is attacked by Pavise's own tests; here only its tokens are"},
		{"80, 125", "as far as they are about connections that last: each request has one of its own here"},
		{"86", "as far as a restart or another node is needed"},
		{"113, 124", "as far as they are about answers of the service: it is not asked"},
		{"116, 118, 126, 127", "floods of more than a connection, and slowness, are tried with --allow floods in part, and by Pavise's own tests"},
		{"135, 168", "the administration is on a socket, which is not reached from outside"},
		{"143–150", "the log is read by pavise log verify; that no secret is in it, Pavise's own tests show"},
	}
}

// notes say what is not tried.
func (r *Run) notes() (all []string) {
	for _, one := range unseen() {
		all = append(all, fmt.Sprintf("not from outside: rows %s: %s", one.rows, one.why))
	}
	for _, at := range r.places {
		if at.target == "" {
			all = append(all, fmt.Sprintf("no path was found that reaches %s and no other endpoint: nothing is tried there", at))
		}
		if hasPublic(at) && !at.isPublic() {
			all = append(all, fmt.Sprintf("%s takes everybody, too: that a forged credential is refused there cannot be told", at))
		}
	}
	for _, issuer := range r.ungiven() {
		all = append(all, fmt.Sprintf("there is no good token of the issuer %s: its endpoints are attacked with forged ones alone; pavise attack --self --token %s=FILE takes one, and a schedule has none", issuer, issuer))
	}
	if !r.sources.turns {
		all = append(all, fmt.Sprintf("all requests come from %s: with wrong credentials the test waits %s each, so that nobody there is locked out", r.sources.network, r.sources.pause))
	}
	return all
}
