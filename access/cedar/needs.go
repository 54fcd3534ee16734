package cedar

import (
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// needs are the parts of body, query and attributes that policies name. nil:
// nothing of it.
type needs struct {
	body, query, attributes *strictjson.Want

	address, scopes bool
}

// Reads says which parts of a request policies name, beside those that every request has.
func (d *Decider) Reads() (reads shield.Reads) {
	n := &d.needs
	if n.body != nil {
		reads |= shield.ReadsBody | shield.ReadsHeader // the kind of the body
	}
	if n.query != nil {
		reads |= shield.ReadsQuery
	}
	if n.address {
		reads |= shield.ReadsAddress
	}
	if n.attributes != nil || n.scopes {
		reads |= shield.ReadsToken
	}
	return reads
}

// learn finds every context.body…, context.query… and principal.attributes… in
// the JSON form of conditions. Where they are reached in another way than by
// their names, all of it is needed.
func (n *needs) learn(tree any) {
	switch tree := tree.(type) {
	case []any:
		for _, item := range tree {
			n.learn(item)
		}
	case map[string]any:
		if n.learnChain(tree) {
			return
		}
		for _, item := range tree {
			n.learn(item)
		}
	}
}

// learnChain learns from an expression that is a variable with names after it, or
// a variable alone.
func (n *needs) learnChain(tree map[string]any) bool {
	if tree["Var"] == "context" && len(tree) == 1 {
		add(&n.body, nil, true)
		add(&n.query, nil, true)
		n.address = true
		return true
	}
	c, ok := chainOf(tree)
	if !ok {
		switch last, _ := lastName(tree); last { // of an entity that is reached otherwise
		case "attributes":
			add(&n.attributes, nil, true)
		case "scopes":
			n.scopes = true
		}
		return false
	}
	switch {
	case c.variable == "context" && c.names[0] == "body":
		add(&n.body, c.names[1:], c.value)
	case c.variable == "context" && c.names[0] == "query":
		add(&n.query, c.names[1:], c.value)
	case c.variable == "context" && c.names[0] == "address":
		n.address = true
	case c.variable == "principal" && c.names[0] == "scopes":
		n.scopes = true
	case c.variable == "principal" && c.names[0] == "attributes":
		add(&n.attributes, c.names[1:], c.value)
	}
	return true
}

// chain is variable.name.name…, as a value, or only asked whether it is there.
type chain struct {
	variable string
	names    []string
	value    bool
}

func chainOf(tree map[string]any) (chain, bool) {
	name, left := lastName(tree)
	if left == nil {
		return chain{}, false
	}
	_, asked := tree["has"]
	if variable, ok := left["Var"].(string); ok && len(left) == 1 {
		return chain{variable, []string{name}, !asked}, true
	}
	c, ok := chainOf(left)
	if !ok || !c.value { // (context has body).x is no chain
		return chain{}, false
	}
	return chain{c.variable, append(c.names, name), !asked}, true
}

// lastName returns the name that an access or a has ends with, and what is left of
// it; nil if tree is neither.
func lastName(tree map[string]any) (name string, left map[string]any) {
	for _, operator := range [...]string{".", "has"} {
		operands, ok := tree[operator].(map[string]any)
		if !ok || len(tree) != 1 {
			continue
		}
		name, named := operands["attr"].(string)
		if left, ok := operands["left"].(map[string]any); ok && named {
			return name, left
		}
	}
	return "", nil
}

// add adds a path to what is wanted.
func add(root **strictjson.Want, names []string, value bool) {
	if *root == nil {
		*root = &strictjson.Want{}
	}
	at := *root
	for _, name := range names {
		if at.Members == nil {
			at.Members = map[string]*strictjson.Want{}
		}
		if at.Members[name] == nil {
			at.Members[name] = &strictjson.Want{}
		}
		at = at.Members[name]
	}
	at.All = at.All || value
}
