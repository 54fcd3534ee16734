package schema_test

import (
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
)

// What GitHub publishes as examples of its answers fits its own description, but for those
// that do not: each fault is counted by its rule. The same examples with a property more, and
// without their first, are refused.
func TestAnswersThatNobodyHereWrote(t *testing.T) {
	attacktest.Rows(t, 113)
	text := readDocument(t, published[0].file)
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	d := open(t, string(text), schema.Options{})
	accepted, all, slipped := 0, 0, 0
	rules := map[string]int{}
	for _, pattern := range d.Operations() {
		method, path, _ := strings.Cut(pattern, " ")
		described := dig(root, "paths", path, strings.ToLower(method), "responses")
		if described == nil {
			continue
		}
		a, err := d.Answers(pattern)
		if err != nil {
			t.Logf("%s: %v", pattern, err)
			continue
		}
		r := httptest.NewRequest(method, "/", nil)
		for status, example := range examplesOf(root, described) {
			all++
			h := head("Content-Type", "application/json", "Link", "<x>", "Location", "https://example.com/x")
			err := a.Judge(r, status, h, example)
			if err != nil {
				for part := range strings.SplitSeq(faultsOf(t, err), ", ") {
					rules[part[strings.LastIndexByte(part, ' ')+1:]]++
				}
				continue
			}
			accepted++
			if more := addTo(example); more != nil && a.Judge(r, status, h, more) == nil {
				slipped++
			}
		}
	}
	t.Logf("%d of %d examples fit; faults by rule: %v; %d objects take a further property", accepted, all, rules, slipped)
	if all < 500 || accepted < all*7/10 {
		t.Errorf("only %d of %d examples fit: %v", accepted, all, rules)
	}
}

func dig(v any, path ...string) map[string]any {
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	object, _ := v.(map[string]any)
	return object
}

// examplesOf are the first examples of the answers in JSON, by status.
func examplesOf(root, responses map[string]any) map[int][]byte {
	out := map[int][]byte{}
	for name, one := range responses {
		response := resolved(root, one)
		media := dig(response, "content", "application/json")
		status, err := strconv.Atoi(name)
		if err != nil || media == nil {
			continue
		}
		for _, example := range dig(media, "examples") {
			if value, there := resolved(root, example)["value"]; there {
				if text, err := json.Marshal(value); err == nil {
					out[status] = text
				}
				break
			}
		}
	}
	return out
}

func resolved(root map[string]any, v any) map[string]any {
	object, _ := v.(map[string]any)
	if ref, ok := object["$ref"].(string); ok {
		return dig(root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return object
}

// addTo gives an object a property that nobody has declared; nil of what is no object.
func addTo(text []byte) []byte {
	if len(text) < 3 || text[0] != '{' {
		return nil
	}
	return append([]byte(`{"nobody-declared-this":1,`), text[1:]...)
}
