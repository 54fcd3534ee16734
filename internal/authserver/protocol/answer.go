package protocol

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// maxAnswer bounds what is kept of the library's answer: tokens and metadata have some
// thousand bytes.
const maxAnswer = 1 << 20

// kept is an answer of the library before anybody has seen it.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newKept() *kept { return &kept{header: http.Header{}} }

func (k *kept) Header() http.Header { return k.header }

func (k *kept) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *kept) Write(p []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	if k.body.Len()+len(p) > maxAnswer {
		return 0, http.ErrContentLength
	}
	return k.body.Write(p)
}

// edit changes an answer that is a JSON object; another one stays as it is.
func (k *kept) edit(change func(map[string]any)) {
	all := map[string]any{}
	if json.Unmarshal(k.body.Bytes(), &all) != nil {
		return
	}
	change(all)
	k.body.Reset()
	_ = json.NewEncoder(&k.body).Encode(all) // into memory, what was decoded
	k.header.Del("Content-Length")
}

// send hands on an answer as it is.
func (k *kept) send(w http.ResponseWriter) {
	for name, values := range k.header {
		w.Header()[name] = values
	}
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
	if k.status == 0 {
		k.status = http.StatusOK
	}
	w.WriteHeader(k.status)
	_, _ = w.Write(k.body.Bytes()) // a caller who is gone reads nothing
}

// sendFault answers in the form of RFC 6749 §5.2.
func (c *call) sendFault(w http.ResponseWriter, f *Fault) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if c.nonce != "" {
		h.Set("DPoP-Nonce", c.nonce)
	}
	if f.Status == http.StatusUnauthorized && c.request.Header.Get("Authorization") != "" {
		h.Set("WWW-Authenticate", `Basic realm="oauth"`)
	}
	if f.Wait > 0 {
		h.Set("Retry-After", strconv.Itoa(f.Wait))
	}
	c.server.options.Decline(c.request, f)
	w.WriteHeader(f.Status)
	answer := map[string]string{"error": f.Code}
	if f.Description != "" {
		answer["error_description"] = f.Description
	}
	_ = json.NewEncoder(w).Encode(answer) // as above
}
