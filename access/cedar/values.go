package cedar

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/cedar-policy/cedar-go/types"

	"pavise.dev/pavise/internal/strictjson"
)

// unreadable is something that a policy names and that not everybody reads alike.
// The reason names it and never holds a value.
type unreadable struct{ reason string }

func (u *unreadable) Error() string { return u.reason }

func unfit(name, what string) error {
	return &unreadable{fmt.Sprintf("%s, which a policy names, is %s", name, what)}
}

// convert turns the wanted parts of a value into Cedar's types. What is wanted and
// there must have a type, or nothing is converted.
func convert(name string, v any, want *strictjson.Want) (types.Value, error) {
	if v == nil {
		return nil, unfit(name, "null")
	}
	object, ok := v.(map[string]any)
	for member := range object {
		if resembles(member, want) {
			return nil, unfit("a member of "+name, "there in another case")
		}
	}
	switch {
	case want.All:
		return convertAll(name, v)
	case len(want.Members) == 0:
		return types.True, nil // somebody asks only whether it is there
	case !ok:
		return nil, unfit(name, "no object")
	}
	record := make(types.RecordMap, len(want.Members))
	for member, below := range want.Members {
		item, ok := object[member]
		if !ok {
			continue
		}
		converted, err := convert(name+"."+member, item, below)
		if err != nil {
			return nil, err
		}
		record[types.String(member)] = converted
	}
	return types.NewRecord(record), nil
}

// convertAll converts a value of JSON, of a token's claims, or of Go's own kinds.
func convertAll(name string, v any) (types.Value, error) {
	switch v := v.(type) {
	case string:
		return types.String(v), nil
	case bool:
		return types.Boolean(v), nil
	case int:
		return types.Long(v), nil
	case int64:
		return types.Long(v), nil
	case float64:
		if whole := int64(v); v > -1<<53 && v < 1<<53 && float64(whole) == v {
			return types.Long(whole), nil
		}
		return nil, unfit(name, "no whole number within 64 bits")
	case strictjson.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return nil, unfit(name, "no whole number within 64 bits")
		}
		return types.Long(n), nil
	case []string:
		items := make([]types.Value, len(v))
		for i, item := range v {
			items[i] = types.String(item)
		}
		return types.NewSet(items...), nil
	case []any:
		return convertList(name, v)
	case map[string]any:
		return convertObject(name, v)
	case nil:
		return nil, unfit(name, "null or holds one")
	}
	return nil, unfit(name, fmt.Sprintf("of the type %T, which Cedar does not have", v))
}

func convertList(name string, list []any) (types.Value, error) {
	items := make([]types.Value, len(list))
	for i, item := range list {
		converted, err := convertAll(name, item)
		if err != nil {
			return nil, err
		}
		items[i] = converted
	}
	return types.NewSet(items...), nil
}

func convertObject(name string, object map[string]any) (types.Value, error) {
	if len(object) > 1 && hasTwins(object) {
		return nil, unfit(name, "an object with two names that differ only in case")
	}
	record := make(types.RecordMap, len(object))
	for member, item := range object {
		converted, err := convertAll(name, item)
		if err != nil {
			return nil, err
		}
		record[types.String(member)] = converted
	}
	return types.NewRecord(record), nil
}

// hasTwins reports whether two names differ only in case: readers that ignore it,
// Go's own among them, take one for the other.
func hasTwins[V any](object map[string]V) bool {
	seen := make(map[string]bool, len(object))
	for name := range object {
		folded := strings.Map(fold, name)
		if seen[folded] {
			return true
		}
		seen[folded] = true
	}
	return false
}

// fold returns the least of the characters that differ from r only in case.
func fold(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return least
}
