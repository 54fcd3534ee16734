package schema_test

import (
	"bytes"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
)

const uploads = `{type: object, required: [title], properties: {
  title: {type: string, maxLength: 5}, stars: {type: integer, maximum: 5}, tags: {type: array, items: {type: string}, maxItems: 2},
  photo: {type: string, format: binary, maxLength: 8}, photos: {type: array, items: {type: string, format: binary}},
  who: {type: object, properties: {name: {type: string}}}, list: {type: array, items: {type: integer}}}}`

func uploadOperation(t testing.TB) *schema.Operation {
	t.Helper()
	described := strings.ReplaceAll(uploads, "\n", "")
	text := post("3.0.3", "multipart/form-data", described, "")
	text = strings.Replace(text, described, described+", encoding: {photo: {contentType: \"image/png, image/jpeg\"}, list: {contentType: application/json}}", 1)
	return operation(t, open(t, text, schema.Options{}), "POST /a")
}

// parts writes a body: each text is a part with its headers.
func parts(texts ...string) string {
	var b strings.Builder
	for _, text := range texts {
		b.WriteString("--xYz\r\nContent-Disposition: form-data; " + text + "\r\n")
	}
	return b.String() + "--xYz--\r\n"
}

func TestMultipartBodies(t *testing.T) {
	attacktest.Rows(t, 105, 108)
	o := uploadOperation(t)
	const title = "name=\"title\"\r\n\r\nabc"
	const png = "Content-Type: image/png\r\n\r\n"
	for name, c := range map[string]struct{ body, want string }{
		"the least":                   {parts(title), ""},
		"without the last line end":   {strings.TrimSuffix(parts(title), "\r\n"), ""},
		"text with a type":            {parts("name=\"title\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nabc"), ""},
		"a number":                    {parts(title, "name=\"stars\"\r\n\r\n5"), ""},
		"a file":                      {parts(title, "name=\"photo\"; filename=\"ä b.png\"\r\n"+png+"\x00\xff\r\n--x"), ""},
		"files":                       {parts(title, "name=\"photos\"; filename=\"a\"\r\n\r\n1", "name=\"photos\"; filename=\"b\"\r\n\r\n2"), ""},
		"JSON":                        {parts(title, "name=\"who\"\r\nContent-Type: application/json\r\n\r\n{\"name\":\"x\"}", "name=\"list\"\r\n\r\n[1,2]"), ""},
		"a length":                    {parts("name=\"title\"\r\nContent-Length: 3\r\n\r\nabc"), ""},
		"an array":                    {parts(title, "name=\"tags\"\r\n\r\na", "name=\"tags\"\r\n\r\nb"), ""},
		"beyond a bound":              {parts(title, "name=\"stars\"\r\n\r\n6"), "body /stars maximum"},
		"a text too long":             {parts("name=\"title\"\r\n\r\nabcdef"), "body /title maxLength"},
		"a file too long, in bytes":   {parts(title, "name=\"photo\"; filename=\"a\"\r\n"+png+"äääää"), "body /photo maxLength"},
		"nothing that is required":    {parts("name=\"stars\"\r\n\r\n5"), "body /title required"},
		"undeclared":                  {parts(title, "name=\"admin\"\r\n\r\n1"), "body /admin undeclared"},
		"too many entries":            {parts(title, "name=\"tags\"\r\n\r\na", "name=\"tags\"\r\n\r\nb", "name=\"tags\"\r\n\r\nc"), "body /tags maxItems"},
		"JSON that breaks its schema": {parts(title, "name=\"who\"\r\n\r\n{\"x\":1}"), "body /who/x undeclared"},
		"JSON with a name twice":      {parts(title, "name=\"who\"\r\n\r\n{\"name\":\"\",\"name\":\"\"}"), "body  form"},
		"JSON of another type":        {parts(title, "name=\"who\"\r\nContent-Type: text/plain\r\n\r\n{}"), "body  form"},
		"a name twice":                {parts(title, title), "body  form"},
		"a list twice":                {parts(title, "name=\"list\"\r\n\r\n[1]", "name=\"list\"\r\n\r\n[1]"), "body  form"},
		"a file of another type":      {parts(title, "name=\"photo\"; filename=\"a\"\r\nContent-Type: image/svg+xml\r\n\r\nx"), "body  form"},
		"a file where a text is":      {parts("name=\"title\"; filename=\"a\"\r\n\r\nabc"), "body  form"},
		"a text of another type":      {parts("name=\"title\"\r\nContent-Type: text/html\r\n\r\nabc"), "body  form"},
		"a text that is not UTF-8":    {parts("name=\"title\"\r\n\r\n\xff"), "body  form"},
		"another charset":             {parts("name=\"title\"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\nabc"), "body  form"},
		"parts in parts":              {parts(title, "name=\"photos\"; filename=\"a\"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--"), "body  form"},
		"a coding":                    {parts("name=\"title\"\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj"), "body  form"},
		"another length":              {parts("name=\"title\"\r\nContent-Length: 4\r\n\r\nabc"), "body  form"},
		"a header twice":              {parts("name=\"title\"\r\nContent-Disposition: form-data; name=\"stars\"\r\n\r\nabc"), "body  form"},
		"a header of one's own":       {parts("name=\"title\"\r\nX-A: b\r\n\r\nabc"), "body  form"},
		"a folded header":             {parts("name=\"title\";\r\n filename=\"x\"\r\n\r\nabc"), "body  form"},
		"no headers":                  {"--xYz\r\n\r\nabc\r\n--xYz--\r\n", "body  form"},
		"no name":                     {parts("filename=\"x\"\r\n\r\nabc"), "body  form"},
		"a name with an escape":       {parts("name=\"ti\\\"tle\"\r\n\r\nabc"), "body  form"},
		"a name without quotes":       {parts("name=title\r\n\r\nabc"), "body  form"},
		"two names":                   {parts("name=\"title\"; name=\"stars\"\r\n\r\nabc"), "body  form"},
		"filename*":                   {parts("name=\"photos\"; filename*=UTF-8''..%2Fx\r\n\r\nabc"), "body  form"},
		"an attachment":               {"--xYz\r\nContent-Disposition: attachment; name=\"title\"\r\n\r\nabc\r\n--xYz--\r\n", "body  form"},
		"line ends of one byte":       {strings.ReplaceAll(parts(title), "\r\n", "\n"), "body  form"},
		"the boundary within":         {parts("name=\"title\"\r\n\r\na\n--xYz"), "body  form"},
		"a boundary that goes on":     {parts("name=\"title\"\r\n\r\nabc\r\n--xYzA\r\n"), "body  form"},
		"text before":                 {"hello\r\n" + parts(title), "body  form"},
		"text behind":                 {parts(title) + "hello", "body  form"},
		"no end":                      {strings.TrimSuffix(parts(title), "--xYz--\r\n"), "body  form"},
		"no parts":                    {"--xYz--\r\n", "body  form"},
		"ten thousand parts":          {parts(slicesOf(title, 10_000)...), "body  form"},
		"a long header":               {parts("name=\"" + strings.Repeat("a", 5000) + "\"\r\n\r\nabc"), "body  form"},
		"a long name":                 {parts("name=\"" + strings.Repeat("a", 300) + "\"\r\n\r\nabc"), "body  form"},
	} {
		if got := answer(o, "POST", "/a", c.body, "Content-Type", "multipart/form-data; boundary=xYz"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	for _, file := range []string{"../x", "..", ".", "a/b", `c:x`, "a:$DATA", "..%2Fx", "%5Cx", "a%00.png", "a\x00", "a\x7f", "a\u202egnp.exe", `a\b`} {
		if got := answer(o, "POST", "/a", parts(title, "name=\"photos\"; filename=\""+file+"\"\r\n\r\nx"), "Content-Type", "multipart/form-data; boundary=xYz"); got != "body  form" {
			t.Errorf("a file of the name %q: %q", file, got)
		}
	}
	for media, want := range map[string]string{
		`multipart/form-data; boundary=xYz`: "", `multipart/form-data; boundary="xYz"`: "", `multipart/form-data`: "body  form", `multipart/form-data; boundary=`: "unsupported_media",
		`multipart/form-data; boundary="x Y"`: "body  form", `multipart/form-data; boundary="xYz;a"`: "body  form", `multipart/form-data; boundary*=utf-8''xYz`: "unsupported_media",
		`multipart/form-data; boundary*0=x; boundary*1=Yz`: "unsupported_media", `multipart/form-data; boundary=xYz; boundary=abc`: "unsupported_media",
		`multipart/form-data; boundary=` + strings.Repeat("a", 71): "body  form", `multipart/mixed; boundary=xYz`: "unsupported_media",
	} {
		if got := answer(o, "POST", "/a", parts(title), "Content-Type", media); got != want {
			t.Errorf("%s: %q, want %q", media, got, want)
		}
	}
}

func slicesOf(text string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = text
	}
	return all
}

// What Go's own writer writes is read.
func TestMultipartOfAnotherWriter(t *testing.T) {
	attacktest.Rows(t, 105)
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("title", "a b")
	file, _ := w.CreateFormFile("photos", "räume 1.bin")
	_, _ = file.Write([]byte{0, 1, 2, 255})
	typed, _ := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="who"; filename="blob"`}, "Content-Type": {"application/json"}})
	_, _ = typed.Write([]byte(`{"name":"x"}`))
	_ = w.Close()
	if got := answer(uploadOperation(t), "POST", "/a", b.String(), "Content-Type", w.FormDataContentType()); got != "" {
		t.Error(got)
	}
}

// What is accepted, Go's own reader reads as well, and as many parts.
func FuzzMultipart(f *testing.F) {
	o := uploadOperation(f)
	f.Add(parts("name=\"title\"\r\n\r\nabc", "name=\"photos\"; filename=\"a\"\r\nContent-Type: image/png\r\n\r\n\x00"))
	f.Add("--xYz\r\nContent-Disposition:form-data; name=\"title\"\r\n\r\n\r\n--xYz--")
	f.Fuzz(func(t *testing.T, body string) {
		if answer(o, "POST", "/a", body, "Content-Type", "multipart/form-data; boundary=xYz") != "" {
			return
		}
		form, err := multipart.NewReader(strings.NewReader(body), "xYz").ReadForm(1 << 20)
		if err != nil {
			t.Fatalf("%q is accepted, but Go cannot read it: %v", body, err)
		}
		if len(form.Value["title"]) != 1 {
			t.Fatalf("%q is accepted, but Go reads %v", body, form.Value)
		}
	})
}
