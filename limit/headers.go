package limit

import (
	"net/http"
	"strconv"
	"time"
)

// Applied is a limit and what it said about one request.
type Applied struct {
	Limit Limit
	State State
}

// SetHeaders sets RateLimit-Policy and RateLimit, structured fields after
// draft-ietf-httpapi-ratelimit-headers-10: per limit its name, quota q and window
// w in seconds; and what remains, r, with t: the seconds until the quota is whole
// again or, after a refusal, until this request would pass. So t is never later
// than the [RetryAfter] of the same state. It sets nothing if no limit applied.
// It must be called before the answer begins; neither field is for trailers.
func SetHeaders(h http.Header, applied []Applied) {
	if len(applied) == 0 {
		return
	}
	policy := make([]byte, 0, 40*len(applied))
	left := make([]byte, 0, 40*len(applied))
	for i := range applied {
		l, s := &applied[i].Limit, &applied[i].State
		if i > 0 {
			policy, left = append(policy, ", "...), append(left, ", "...)
		}
		policy = appendName(policy, l.Name)
		policy = append(policy, ";q="...)
		policy = strconv.AppendInt(policy, int64(l.Rate.Count), 10)
		policy = append(policy, ";w="...)
		policy = strconv.AppendInt(policy, seconds(l.Rate.Per), 10)

		left = appendName(left, l.Name)
		left = append(left, ";r="...)
		left = strconv.AppendInt(left, int64(max(s.Remaining, 0)), 10)
		left = append(left, ";t="...)
		left = strconv.AppendInt(left, seconds(s.wait()), 10)
	}
	values := []string{string(policy), string(left)}
	h["Ratelimit-Policy"] = values[0:1:1]
	h["Ratelimit"] = values[1:2:2]
}

func (s State) wait() time.Duration {
	if s.Allowed {
		return s.Reset
	}
	return s.Retry
}

// RetryAfter returns the value of a Retry-After header (RFC 9110 §10.2.3): whole
// seconds, rounded up, at least 1.
func RetryAfter(wait time.Duration) string {
	return strconv.FormatInt(max(seconds(wait), 1), 10)
}

// seconds rounds up.
func seconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Second) + 1
}

// maxName is the longest name that is written into a header, in bytes.
const maxName = 64

// appendName writes an sf-string (RFC 9651 §4.1.6). What cannot stand in one
// becomes "_", so that no name can end the string or the header.
func appendName(dst []byte, name string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(name) && i < maxName; i++ {
		switch c := name[i]; {
		case c < ' ' || c > '~' || c == '"' || c == '\\':
			dst = append(dst, '_')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
