package edge_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
)

const host = "Host: edge.test\r\n"

// accepted are requests that the grammar allows, with what a handler makes of them.
var accepted = map[string]struct{ send, echo string }{
	"the least request":            {"GET / HTTP/1.1\r\n" + host + "\r\n", "GET / "},
	"every kind of target byte":    {"GET /a%2Fb/[x]|{y}^`\\\"<>?q=%zz&[]~!$'()*+,;=:@ HTTP/1.1\r\n" + host + "\r\n", "GET /a%2Fb/[x]|{y}^`\\\"<>?q=%zz&[]~!$'()*+,;=:@ "},
	"a method of one's own":        {"M-SEARCH_! / HTTP/1.1\r\n" + host + "\r\n", "M-SEARCH_! / "},
	"OPTIONS of a path":            {"OPTIONS / HTTP/1.1\r\n" + host + "\r\n", "OPTIONS / "},
	"no white space after a colon": {"GET / HTTP/1.1\r\nHost:edge.test\r\n\r\n", "GET / "},
	"white space around a value":   {"GET / HTTP/1.1\r\nHost: \t edge.test \t\r\n\r\n", "GET / "},
	"an empty value":               {"GET / HTTP/1.1\r\n" + host + "X-A:\r\n\r\n", "GET / "},
	"a tab and high bytes":         {"GET / HTTP/1.1\r\n" + host + "X-A: a\tb\xff\x80\r\n\r\n", "GET / "},
	"a port":                       {"GET / HTTP/1.1\r\nHost: edge.test:8443\r\n\r\n", "GET / "},
	"an IPv6 address":              {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n", "GET / "},
	"Content-Length":               {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello", "POST / hello"},
	"Content-Length 0":             {"POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", "POST / "},
	"a body with GET":              {"GET / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi", "GET / hi"},
	"a body that looks like heads": {"POST / HTTP/1.1\r\n" + host + "Content-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n", "POST / GET / HTTP/1.1\r\n\r\n"},
	"chunks":                       {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0B\r\n, my world!\r\n0\r\n\r\n", "POST / hello, my world!"},
	"no chunk":                     {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST / "},
	"declared trailers":            {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X-Sum, x-other\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\nX-Other: 2\r\n\r\n", "POST / a"},
	"an upgrade to something else": {"GET / HTTP/1.1\r\n" + host + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / "},
}

// Forms that are refused in the head: the edge answers, the handler never runs.
var refusedHeads = map[string]struct {
	row  int
	send string
	code edge.Code
	want int
}{
	"a bare LF after the request line":  {114, "GET / HTTP/1.1\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a bare LF after a field":           {114, "GET / HTTP/1.1\r\nHost: edge.test\n\r\n", edge.BadHeader, 400},
	"a bare LF at the end":              {114, "GET / HTTP/1.1\r\n" + host + "\n", edge.BadHeader, 400},
	"a bare CR in a value":              {114, "GET / HTTP/1.1\r\n" + host + "X-A: a\rb\r\n\r\n", edge.BadHeader, 400},
	"a bare CR for the end of a line":   {114, "GET / HTTP/1.1\r" + host + "\r\n\r\n", edge.BadRequestLine, 400},
	"CR CR LF":                          {114, "GET / HTTP/1.1\r\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"an empty line before the request":  {114, "\r\nGET / HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"two spaces":                        {114, "GET  / HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"two spaces before the version":     {114, "GET /  HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a tab for a space":                 {114, "GET\t/ HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a space after the version":         {114, "GET / HTTP/1.1 \r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"no version":                        {114, "GET /\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"HTTP/1.0":                          {114, "GET / HTTP/1.0\r\n" + host + "\r\n", edge.BadVersion, 505},
	"HTTP/2.0":                          {114, "GET / HTTP/2.0\r\n" + host + "\r\n", edge.BadVersion, 505},
	"http in small letters":             {114, "GET / http/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"HTTP/1.10":                         {114, "GET / HTTP/1.10\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a method that is no token":         {114, "GE(T / HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a method of 33 bytes":              {114, strings.Repeat("M", 33) + " / HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a control byte in the target":      {114, "GET /\x01 HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"NUL in the target":                 {114, "GET /\x00 HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a high byte in the target":         {114, "GET /\xc3\xa4 HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a fragment":                        {114, "GET /#a HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a broken escape in the path":       {114, "GET /%zz HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"half an escape in the path":        {114, "GET /%4 HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"a folded line":                     {114, "GET / HTTP/1.1\r\n" + host + "X-A: a\r\n b\r\n\r\n", edge.BadHeader, 400},
	"a fold before the first field":     {114, "GET / HTTP/1.1\r\n " + host + "\r\n", edge.BadHeader, 400},
	"white space before a colon":        {114, "GET / HTTP/1.1\r\n" + host + "Content-Length : 5\r\n\r\nhello", edge.BadHeader, 400},
	"no colon":                          {114, "GET / HTTP/1.1\r\n" + host + "X-A\r\n\r\n", edge.BadHeader, 400},
	"no name":                           {114, "GET / HTTP/1.1\r\n" + host + ": a\r\n\r\n", edge.BadHeader, 400},
	"a name that is no token":           {114, "GET / HTTP/1.1\r\n" + host + "X A: a\r\n\r\n", edge.BadHeader, 400},
	"a high byte in a name":             {114, "GET / HTTP/1.1\r\n" + host + "X\xff: a\r\n\r\n", edge.BadHeader, 400},
	"NUL in a value":                    {114, "GET / HTTP/1.1\r\n" + host + "X-A: aaaaaaaaaa\x00\r\n\r\n", edge.BadHeader, 400},
	"DEL in a value":                    {114, "GET / HTTP/1.1\r\n" + host + "X-A: aaaaaaaaaa\x7faaaaaaaa\r\n\r\n", edge.BadHeader, 400},
	"Content-Length and chunks":         {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", edge.BadFraming, 400},
	"chunks and Content-Length":         {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", edge.BadFraming, 400},
	"Content-Length twice, equal":       {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", edge.BadFraming, 400},
	"Content-Length twice, different":   {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", edge.BadFraming, 400},
	"a list of lengths":                 {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n\r\nhello", edge.BadFraming, 400},
	"a length with a plus":              {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\nhello", edge.BadFraming, 400},
	"a length with a minus":             {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: -5\r\n\r\nhello", edge.BadFraming, 400},
	"a length with a space":             {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: 1 2\r\n\r\nhello", edge.BadFraming, 400},
	"a length in hexadecimal":           {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: 0x5\r\n\r\nhello", edge.BadFraming, 400},
	"an empty length":                   {114, "POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\nhello", edge.BadFraming, 400},
	"a length of 19 digits":             {114, "POST / HTTP/1.1\r\n" + host + "Content-Length: 1000000000000000000\r\n\r\nhello", edge.BadFraming, 400},
	"another coding":                    {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"two codings":                       {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"chunked, identity":                 {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"xchunked":                          {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"chunked with a vertical tab":       {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", edge.BadHeader, 400},
	"chunked in capitals":               {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"chunked in quotes":                 {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"chunked twice":                     {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", edge.BadFraming, 400},
	"an empty coding":                   {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"a folded coding":                   {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", edge.BadCoding, 501},
	"Trailer without chunks":            {114, "POST / HTTP/1.1\r\n" + host + "Trailer: X-Sum\r\n\r\n", edge.BadHeader, 400},
	"Trailer that declares framing":     {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", edge.BadHeader, 400},
	"Trailer that declares credentials": {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: x-a, Authorization\r\n\r\n0\r\n\r\n", edge.BadHeader, 400},
	"Trailer twice":                     {114, "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: x-a\r\nTrailer: x-b\r\n\r\n0\r\n\r\n", edge.BadHeader, 400},
	"an expectation of one's own":       {114, "POST / HTTP/1.1\r\n" + host + "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na", edge.BadExpectation, 417},

	"absolute-form":              {120, "GET http://edge.test/ HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"absolute-form, other host":  {120, "GET http://other.test/ HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"authority-form":             {120, "GET edge.test:443 HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"CONNECT":                    {120, "CONNECT edge.test:443 HTTP/1.1\r\n" + host + "\r\n", edge.RefusedUpgrade, 400},
	"asterisk-form":              {120, "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", edge.BadRequestLine, 400},
	"no Host":                    {120, "GET / HTTP/1.1\r\n\r\n", edge.BadHost, 400},
	"an empty Host":              {120, "GET / HTTP/1.1\r\nHost:\r\n\r\n", edge.BadHost, 400},
	"Host twice, equal":          {120, "GET / HTTP/1.1\r\n" + host + host + "\r\n", edge.BadHost, 400},
	"Host twice, different":      {120, "GET / HTTP/1.1\r\n" + host + "Host: other.test\r\n\r\n", edge.BadHost, 400},
	"a list of hosts":            {120, "GET / HTTP/1.1\r\nHost: edge.test, other.test\r\n\r\n", edge.BadHost, 400},
	"Host with a user":           {120, "GET / HTTP/1.1\r\nHost: a@edge.test\r\n\r\n", edge.BadHost, 400},
	"Host with a path":           {120, "GET / HTTP/1.1\r\nHost: edge.test/a\r\n\r\n", edge.BadHost, 400},
	"Host with an escape":        {120, "GET / HTTP/1.1\r\nHost: edge%2etest\r\n\r\n", edge.BadHost, 400},
	"Host with an empty port":    {120, "GET / HTTP/1.1\r\nHost: edge.test:\r\n\r\n", edge.BadHost, 400},
	"Host with a word for port":  {120, "GET / HTTP/1.1\r\nHost: edge.test:https\r\n\r\n", edge.BadHost, 400},
	"Host with an open bracket":  {120, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", edge.BadHost, 400},
	"Host with a word in braces": {120, "GET / HTTP/1.1\r\nHost: [edge]\r\n\r\n", edge.BadHost, 400},

	"an upgrade to h2c":           {117, "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", edge.RefusedUpgrade, 400},
	"an upgrade to h2c in a list": {117, "GET / HTTP/1.1\r\n" + host + "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n\r\n", edge.RefusedUpgrade, 400},
	"HTTP2-Settings alone":        {117, "GET / HTTP/1.1\r\n" + host + "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", edge.RefusedUpgrade, 400},
	"h2c by prior knowledge":      {117, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", edge.BadRequestLine, 400},

	"a head of 1 MB":              {119, "GET / HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", edge.HeadersTooLarge, 431},
	"10,000 fields":               {119, "GET / HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 10000) + "\r\n", edge.HeadersTooLarge, 431},
	"10,000 large fields":         {119, "GET / HTTP/1.1\r\n" + host + strings.Repeat("X-A: "+strings.Repeat("a", 100)+"\r\n", 10000) + "\r\n", edge.HeadersTooLarge, 431},
	"a target of 1 MB":            {119, "GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\n" + host + "\r\n", edge.PathTooLong, 414},
	"1 MB without an end of line": {119, "GET / HTTP/1.1\r\n" + host + strings.Repeat("a", 1<<20), edge.HeadersTooLarge, 431},
}

func TestAcceptedForms(t *testing.T) {
	s := start(t, edge.Config{Handler: &echo{}})
	for name, c := range accepted {
		t.Run(name, func(t *testing.T) {
			p := dial(t, s.Addr)
			for range 2 { // the second time on the kept connection
				p.send(c.send)
				if r, body := p.answer(); r.StatusCode != 200 || body != c.echo {
					t.Errorf("answered %d %q, want %q", r.StatusCode, body, c.echo)
				}
			}
		})
	}
	if f := s.Faults.list(); len(f) != 0 {
		t.Errorf("accepted requests left faults: %+v", f)
	}
}

func TestAcceptedFormsByteByByte(t *testing.T) {
	s := start(t, edge.Config{Handler: &echo{}})
	for name, c := range accepted {
		t.Run(name, func(t *testing.T) {
			p := dial(t, s.Addr)
			for i := range len(c.send) {
				p.send(c.send[i : i+1])
			}
			if r, body := p.answer(); r.StatusCode != 200 || body != c.echo {
				t.Errorf("answered %d %q, want %q", r.StatusCode, body, c.echo)
			}
		})
	}
}

// A refused head gets one answer with the code, one fault with the same ID, an
// end of the connection; and no handler sees it, nor the good request behind it.
func TestRefusedHeads(t *testing.T) {
	attacktest.Rows(t, 114, 117, 119, 120)
	for name, c := range refusedHeads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := &echo{}
			s := start(t, edge.Config{Handler: seen})
			p := dial(t, s.Addr)
			// The client may still be sending when the answer comes.
			go func() { _, _ = p.Write([]byte(c.send + "GET /smuggled HTTP/1.1\r\n" + host + "\r\n")) }()
			r, body := p.answer()
			if r.StatusCode != c.want {
				t.Errorf("status %d, want %d", r.StatusCode, c.want)
			}
			doc := problemOf(t, r, body)
			if doc.Code != string(c.code) || len(doc.RequestID) != 32 {
				t.Errorf("problem %+v, want code %s", doc, c.code)
			}
			if !r.Close {
				t.Error("the answer does not say Connection: close")
			}
			p.ended()
			f := s.Faults.next(t)
			if f.Code != c.code || f.Step != edge.StepHTTP1 || f.Status != c.want || f.ID != doc.RequestID || f.Remote.Port() == 0 {
				t.Errorf("fault %+v", f)
			}
			if got := seen.requests(); len(got) != 0 {
				t.Errorf("the handler saw %q", got)
			}
			if all := s.Faults.list(); len(all) != 1 {
				t.Errorf("%d faults: %+v", len(all), all)
			}
		})
	}
}
