package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/internal/strictjson"
)

// maxDocument is the longest document that is read, in bytes.
const maxDocument = 16 << 20

// tree is a document as plain JSON values, with the text that they were written in.
type tree struct {
	root   any
	text   []byte
	isJSON bool
}

// readTree reads a document in YAML or JSON. Names that stand twice, and references
// (YAML's, not $ref) are refused: readers differ over them.
func readTree(text []byte) (*tree, error) {
	if len(text) > maxDocument {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(text), maxDocument)
	}
	// JSON is YAML too, but read many times as fast.
	if root, err := strictjson.Document(text, strictjson.Bounds{Depth: maxNesting, Entries: len(text), LargeIntegers: true}); err == nil {
		return &tree{root: root, text: text, isJSON: true}, nil
	}
	node, err := parse(text)
	if err != nil {
		return nil, err
	}
	root, err := plain(node, 0)
	return &tree{root: root, text: text}, err
}

func parse(text []byte) (*yaml.Node, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, err
	}
	if node.Kind != yaml.DocumentNode || len(node.Content) != 1 {
		return nil, fmt.Errorf("it is empty")
	}
	return node.Content[0], nil
}

// maxDigits is how long a whole number of a document may be written.
const maxDigits = 40

// maxNesting is the deepest nesting of a document.
const maxNesting = 200

func plain(n *yaml.Node, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("line %d: nested deeper than %d", n.Line, maxNesting)
	}
	switch n.Kind {
	case yaml.MappingNode:
		object := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				return nil, fmt.Errorf("line %d: a name must be one word", key.Line)
			}
			if _, twice := object[key.Value]; twice {
				return nil, fmt.Errorf("line %d: %q stands twice", key.Line, key.Value)
			}
			var err error
			if object[key.Value], err = plain(n.Content[i+1], depth+1); err != nil {
				return nil, err
			}
		}
		return object, nil
	case yaml.SequenceNode:
		array := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			v, err := plain(item, depth+1)
			if err != nil {
				return nil, err
			}
			array = append(array, v)
		}
		return array, nil
	case yaml.ScalarNode:
		return scalar(n)
	}
	return nil, fmt.Errorf("line %d: write the value out: aliases are not accepted", n.Line)
}

func scalar(n *yaml.Node) (any, error) {
	switch n.Tag {
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int":
		i, ok := new(big.Int).SetString(n.Value, 0)
		if !ok || len(n.Value) > maxDigits {
			return nil, fmt.Errorf("line %d: %s is no whole number", n.Line, n.Value)
		}
		return json.Number(i.String()), nil
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("line %d: %s is no number", n.Line, n.Value)
		}
		return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
	}
	return n.Value, nil
}

// at finds what stands at a pointer (RFC 6901), which may be a fragment: "#/a/b".
func (t *tree) at(pointer string) (any, error) {
	v := t.root
	for _, name := range split(pointer) {
		switch in := v.(type) {
		case map[string]any:
			below, ok := in[name]
			if !ok {
				return nil, fmt.Errorf("there is nothing at %s", pointer)
			}
			v = below
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return nil, fmt.Errorf("there is nothing at %s", pointer)
			}
			v = in[i]
		default:
			return nil, fmt.Errorf("there is nothing at %s", pointer)
		}
	}
	return v, nil
}

// split takes a pointer apart.
func split(pointer string) []string {
	pointer = strings.TrimPrefix(pointer, "#")
	if pointer == "" {
		return nil
	}
	names := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, name := range names {
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
	}
	return names
}

// join adds names to a pointer.
func join(pointer string, names ...string) string {
	for _, name := range names {
		pointer += "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	}
	return pointer
}

// maxReferences is how many references lead on to each other.
const maxReferences = 16

// follow resolves a value that may be a reference within the document, and says where it
// stands.
func (t *tree) follow(pointer string) (map[string]any, string, error) {
	for range maxReferences {
		v, err := t.at(pointer)
		if err != nil {
			return nil, pointer, err
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil, pointer, fmt.Errorf("%s is no object", pointer)
		}
		ref, ok := object["$ref"].(string)
		if !ok {
			return object, pointer, nil
		}
		if !strings.HasPrefix(ref, "#/") {
			return nil, pointer, fmt.Errorf("%s refers to %q: only references within the document are followed; bundle it into one file", pointer, ref)
		}
		pointer = ref[1:]
	}
	return nil, pointer, fmt.Errorf("%s: the reference leads in a circle", pointer)
}
