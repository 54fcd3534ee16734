package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// maxRunKey is the longest key of a sequence, in bytes.
const maxRunKey = 256

// of returns the key that a request holds in the place.
func (p Place) of(r *http.Request) (key string, err error) {
	switch p.In {
	case "":
		return "", nil
	case InPath:
		key, err = usable(r.PathValue(p.Name))
	case InHeader:
		values := r.Header.Values(p.Name)
		if len(values) != 1 {
			return "", p.missing("required", "header %s stands %d times", p.Name, len(values))
		}
		key, err = usable(values[0])
	case InBody:
		key, err = p.ofBody(r)
	}
	if refusal, ok := errors.AsType[*shield.Refusal](err); ok {
		return "", refusal
	}
	if err != nil {
		return "", p.missing("flow", "%v", err)
	}
	return key, nil
}

func (p Place) missing(rule, format string, args ...any) error {
	pointer := p.Name
	if p.In != InBody {
		pointer = "/" + pointer
	}
	refusal := shield.Refuse(shield.InvalidInput, "the key of the flow: "+format, args...)
	refusal.Fields = []shield.Field{{In: p.In, Pointer: pointer, Rule: rule}}
	return refusal
}

func (p Place) ofBody(r *http.Request) (string, error) {
	body, err := shield.BodyOf(r)
	if err != nil {
		return "", err
	}
	if value := body.Value(); value != nil {
		return keyOfValue(value, p.Name)
	}
	text, err := body.Bytes()
	if err != nil {
		return "", err
	}
	defer body.Rewind()
	return keyIn(text, p.Name)
}

// keyIn returns the key that a JSON document holds.
func keyIn(text []byte, pointer string) (string, error) {
	value, err := strictjson.Parse(text)
	if err != nil {
		return "", err
	}
	return keyOfValue(value, pointer)
}

// keyOfValue follows a JSON pointer (RFC 6901) to a text or a whole number.
func keyOfValue(value any, pointer string) (string, error) {
	for _, token := range pointerTokens(pointer) {
		switch inner := value.(type) {
		case map[string]any:
			member, ok := inner[token]
			if !ok {
				return "", fmt.Errorf("nothing stands at %s", pointer)
			}
			value = member
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(inner) || strconv.Itoa(i) != token {
				return "", fmt.Errorf("nothing stands at %s", pointer)
			}
			value = inner[i]
		default:
			return "", fmt.Errorf("nothing stands at %s", pointer)
		}
	}
	switch scalar := value.(type) {
	case string:
		return usable(scalar)
	case json.Number:
		return wholeNumber(string(scalar))
	case strictjson.Number:
		return wholeNumber(string(scalar))
	}
	return "", fmt.Errorf("what stands at %s is neither text nor number", pointer)
}

// pointerTokens splits a JSON pointer, which begins with "/".
func pointerTokens(pointer string) []string {
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, token := range tokens {
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return tokens
}

// wholeNumber takes numbers in their one shortest form: 7 and 7.0 would be two keys of what a
// service takes for one.
func wholeNumber(text string) (string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return "", errors.New("it is no whole number in its shortest form")
	}
	return text, nil
}

func usable(key string) (string, error) {
	if key == "" || len(key) > maxRunKey {
		return "", fmt.Errorf("it has %d bytes: want 1 to %d", len(key), maxRunKey)
	}
	return key, nil
}
