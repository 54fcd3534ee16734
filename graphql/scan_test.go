package graphql

import (
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// What our scanner lets through, the parser's own lexer cuts into the same tokens.
func FuzzScanner(f *testing.F) {
	for _, seed := range append(corpus(), `{a(b:["""x"""""])}`, `{a(b:[""" """""" ]) b(c:["""])}`, `"\u{1F600}\ud83d\ude00"`, "1.5e3 -0 ...#c\r\n,\ufeff!") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if scan(text, len(text)+1) != nil {
			return
		}
		s, l := scanner{text: text}, lexer.New(&ast.Source{Input: text})
		for {
			kind, comments, _ := s.next()
			for range comments {
				if token, err := l.ReadToken(); err != nil || token.Kind != lexer.Comment {
					t.Fatalf("%q: no comment but %v, %v", text, token, err)
				}
			}
			token, err := l.ReadToken()
			if err != nil || !isOf(kind, token.Kind) {
				t.Fatalf("%q: %q and %v at byte %d (%v)", text, kind, token.Kind, s.at, err)
			}
			if kind == endToken {
				return
			}
		}
	})
}

func isOf(kind byte, theirs lexer.Type) bool {
	switch kind {
	case endToken:
		return theirs == lexer.EOF
	case nameToken:
		return theirs == lexer.Name
	case numberToken:
		return theirs == lexer.Int || theirs == lexer.Float
	case textToken:
		return theirs == lexer.String || theirs == lexer.BlockString
	case '.':
		return theirs == lexer.Spread
	}
	return theirs.String() == string(kind) || theirs.Name() == string(kind)
}
