package inventory

import (
	"regexp"
	"strings"
)

// Bounds of a shape.
const (
	maxSegments = 8
	maxShape    = 160 // bytes
)

var (
	numberForm  = regexp.MustCompile(`^[0-9]+$`)
	idForm      = regexp.MustCompile(`^(?i:[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{12,}|[a-z]{1,6}_[0-9a-z]{8,})$`)
	versionForm = regexp.MustCompile(`^v[0-9]+$`)
	mixedForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{16,}$`)
)

// shape is a path without what differs from one object to the next: /v2/orders/17 and
// /v2/orders/18 have the shape /v2/orders/{n}. A long one is cut.
func shape(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	cut := len(segments) > maxSegments
	if cut {
		segments = segments[:maxSegments]
	}
	for i, s := range segments {
		switch {
		case numberForm.MatchString(s):
			segments[i] = "{n}"
		case idForm.MatchString(s), mixedForm.MatchString(s) && strings.ContainsAny(s, "0123456789"), strings.ContainsAny(s, "*…"):
			segments[i] = "{id}"
		}
	}
	text := "/" + strings.Join(segments, "/")
	if cut || len(text) > maxShape {
		text = strings.ToValidUTF8(text[:min(len(text), maxShape)], "") + "…"
	}
	return text
}
