package own

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzPolicies: what a gateway says of its rates is read without a fault, whatever it says.
func FuzzPolicies(f *testing.F) {
	for _, seed := range []string{`"a";q=600;w=60, "b";q=1;w=1`, "", `"`, ";", ",;,", `"a"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		for name := range policies(header) {
			if strings.HasPrefix(name, `"`) || strings.HasSuffix(name, `"`) {
				t.Errorf("%q: a name keeps its quotes: %q", header, name)
			}
		}
	})
}

func TestRatesAreReadByName(t *testing.T) {
	got := policies(`"orders-client";q=600;w=60, "orders-post-v1-orders-client";q=50;w=60`)
	if got["orders-client"] != "q=600;w=60" || got["orders-post-v1-orders-client"] != "q=50;w=60" {
		t.Errorf("%v", got)
	}
}

// FuzzAnswers: bytes that come back are a reply or an error, and a refusal is one of the gateway's only
// with a request ID.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 45\r\n\r\n{\"code\":\"invalid_path\",\"request_id\":\"abcdefgh\"}", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n", "\x00\x00\x12\x04", "", "HTTP/1.1 400 Bad Request\r\n\r\n{\"code\":\"x\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		x, err := readReply(bytes.NewReader(answer))
		if err == nil && x.code != "" && x.code != silent && !strings.Contains(string(answer), "request_id") {
			t.Errorf("%q is taken for a refusal: %s", answer, x)
		}
	})
}

func TestRangesAreShort(t *testing.T) {
	if got := ranges([]int{1, 2, 3, 5, 8, 9}); got != "1–3, 5, 8–9" {
		t.Errorf("%s", got)
	}
}

// TestAMessageIsSpelledForPrintf: what is pasted sends the same bytes.
func TestAMessageIsSpelledForPrintf(t *testing.T) {
	if got := spelled([]byte("GET /%7e?a='b' HTTP/1.1\r\nX: \x00\xff\\n\r\n")); got != `GET /%%7e?a=\047b\047 HTTP/1.1\r\nX: \000\377\\n\r\n` {
		t.Errorf("%s", got)
	}
}
