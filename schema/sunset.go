package schema

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Words of a document with which it says that operations end. They stand in an operation, a
// path, or the document; the innermost is heard.
const (
	deprecatedAt = "x-deprecated-at" // since when it is deprecated, or will be
	sunsetAt     = "x-sunset"        // when it will be gone
)

// sunset is when an operation is deprecated, and when it is gone.
type sunset struct {
	isDeprecated bool
	since        time.Time // zero: not said
	over         time.Time // zero: it is not known to end
}

func (d *Document) sunsetOf(deprecated bool, from ...map[string]any) (s sunset, err error) {
	s.isDeprecated = deprecated
	for _, one := range from {
		if v, said := one[deprecatedAt]; said {
			if s.since, err = moment(v, false); err != nil {
				return s, fmt.Errorf("%s: %w", deprecatedAt, err)
			}
			s.isDeprecated = true
		}
		if v, said := one[sunsetAt]; said {
			if s.over, err = moment(v, true); err != nil {
				return s, fmt.Errorf("%s: %w", sunsetAt, err)
			}
		}
	}
	return s, nil
}

// moment reads a day or a time. A day (UTC) begins with its first second and ends with its last.
func moment(v any, end bool) (time.Time, error) {
	text, _ := v.(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("write a day (2027-01-31) or a time (2027-01-31T12:00:00Z)")
	}
	if end {
		day = day.AddDate(0, 0, 1).Add(-time.Second)
	}
	return day, nil
}

func (s sunset) isOver(now time.Time) bool { return !s.over.IsZero() && now.After(s.over) }

// Header is what answers of the operation say about its end: Deprecation (RFC 9745) and Sunset
// (RFC 8594); nil if nothing is known of one. That something is deprecated, but not since when,
// is said by the first moment there is.
func (o *Operation) Header() http.Header {
	h := http.Header{}
	if o.sunset.isDeprecated {
		at := int64(0)
		if !o.sunset.since.IsZero() {
			at = o.sunset.since.Unix()
		}
		h.Set("Deprecation", "@"+strconv.FormatInt(at, 10)) // a date of RFC 9651 §3.3.7
	}
	if !o.sunset.over.IsZero() {
		h.Set("Sunset", o.sunset.over.UTC().Format(http.TimeFormat))
	}
	if len(h) == 0 {
		return nil
	}
	return h
}

// Sunset says whether the operation is deprecated, since when, and when it will be gone; zero
// times are not known.
func (o *Operation) Sunset() (since, over time.Time, deprecated bool) {
	return o.sunset.since, o.sunset.over, o.sunset.isDeprecated
}
