package cedar

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"pavise.dev/pavise/internal/strictjson"
)

// paths is the part of the body that policies name: a tree of attribute names. A
// leaf takes whatever stands there.
type paths struct {
	root *node
}

type node struct {
	below map[string]*node // nil: everything below
}

func (p *paths) any() bool { return p.root != nil }

// learn finds every `context.body…` in the policies.
func (p *paths) learn(set *cedar.PolicySet) error {
	if set == nil {
		return nil
	}
	for id, policy := range set.All() {
		text, err := policy.MarshalJSON()
		if err != nil {
			return fmt.Errorf("policy %s: %w", id, err)
		}
		var tree any
		if err := json.Unmarshal(text, &tree); err != nil {
			return fmt.Errorf("policy %s: %w", id, err)
		}
		p.walk(tree)
	}
	return nil
}

// walk looks for attribute chains in the JSON form of an expression.
func (p *paths) walk(tree any) {
	switch tree := tree.(type) {
	case []any:
		for _, item := range tree {
			p.walk(item)
		}
	case map[string]any:
		if chain, ok := chainOf(tree); ok {
			if chain[0] == "body" {
				p.add(chain[1:])
			}
			return
		}
		if isContext(tree) {
			// The whole context is used: whatever is in the body may be.
			p.add(nil)
			return
		}
		for _, item := range tree {
			p.walk(item)
		}
	}
}

// chainOf returns the names of context.a.b, and of `context.a has b`.
func chainOf(tree map[string]any) ([]string, bool) {
	for _, operator := range []string{".", "has"} {
		access, ok := tree[operator].(map[string]any)
		if !ok || len(tree) != 1 {
			continue
		}
		name, ok := access["attr"].(string)
		if !ok {
			return nil, false
		}
		left, ok := access["left"].(map[string]any)
		if !ok {
			return nil, false
		}
		if isContext(left) {
			return []string{name}, true
		}
		chain, ok := chainOf(left)
		return append(chain, name), ok
	}
	return nil, false
}

func isContext(tree map[string]any) bool {
	return len(tree) == 1 && tree["Var"] == "context"
}

func (p *paths) add(chain []string) {
	if p.root == nil {
		p.root = &node{below: map[string]*node{}}
	}
	at := p.root
	for _, name := range chain {
		if at.below == nil {
			return // everything is taken already
		}
		next := at.below[name]
		if next == nil {
			next = &node{below: map[string]*node{}}
			at.below[name] = next
		}
		at = next
	}
	at.below = nil
}

// convert turns the named parts of a JSON value into Cedar's types.
func (p *paths) convert(value any) (types.Value, bool) { return p.root.convert(value) }

func (n *node) convert(value any) (types.Value, bool) {
	if n.below == nil {
		return fromJSON(value)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	record := types.RecordMap{}
	for name, next := range n.below {
		item, ok := object[name]
		if !ok {
			continue
		}
		if converted, ok := next.convert(item); ok {
			record[types.String(name)] = converted
		}
	}
	return types.NewRecord(record), true
}

// fromJSON converts a value; false if Cedar has no type for it: null, fractions,
// numbers beyond 64 bits, and whatever holds one of these.
func fromJSON(value any) (types.Value, bool) {
	switch value := value.(type) {
	case string:
		return types.String(value), true
	case bool:
		return types.Boolean(value), true
	case strictjson.Number:
		n, err := strconv.ParseInt(string(value), 10, 64)
		return types.Long(n), err == nil
	case []any:
		items := make([]types.Value, 0, len(value))
		for _, item := range value {
			converted, ok := fromJSON(item)
			if !ok {
				return nil, false
			}
			items = append(items, converted)
		}
		return types.NewSet(items...), true
	case map[string]any:
		record := types.RecordMap{}
		for name, item := range value {
			converted, ok := fromJSON(item)
			if !ok {
				return nil, false
			}
			record[types.String(name)] = converted
		}
		return types.NewRecord(record), true
	}
	return nil, false
}

// fromGo converts an attribute of a client or a token.
func fromGo(value any) (types.Value, bool) {
	switch value := value.(type) {
	case int:
		return types.Long(value), true
	case int64:
		return types.Long(value), true
	case float64:
		if whole := int64(value); float64(whole) == value && value > -1<<53 && value < 1<<53 {
			return types.Long(whole), true
		}
		return nil, false
	case []string:
		items := make([]types.Value, 0, len(value))
		for _, item := range value {
			items = append(items, types.String(item))
		}
		return types.NewSet(items...), true
	}
	return fromJSON(value)
}
