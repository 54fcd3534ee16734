package sanitise

import (
	"errors"
	"fmt"
	"slices"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/text/unicode/norm"
)

// Steps that a rule may name.
const (
	Trim        = "trim"        // blanks at both ends
	Controls    = "controls"    // control characters, but for line breaks and tabs
	Invisible   = "invisible"   // characters that nobody sees, or that turn the direction of others
	NFC         = "nfc"         // one spelling for letters with marks
	NFKC        = "nfkc"        // besides, one form for letters that differ in looks: ﬁ, Ａ, ①
	Confusables = "confusables" // letters of other scripts that look like the Latin ones among which they stand
	Decode      = "decode"      // percent escapes and character references, however often
	Text        = "text"        // markup is taken away, its text stays
	HTML        = "html"        // markup is kept as far as it only formats
	Encode      = "encode"      // < > & " ' become character references

	StripUndeclared = "strip_undeclared" // what the API's description does not declare
)

// Steps are the names of all steps.
func Steps() []string {
	return []string{StripUndeclared, Trim, Controls, Invisible, NFC, NFKC, Confusables, Decode, Text, HTML, Encode}
}

// step is one thing that is done to a text.
type step struct {
	name string
	do   func(string) string // the very text where there is nothing to do
}

func stepOf(name string) (step, bool) {
	switch name {
	case Trim:
		return step{name, trim}, true
	case Controls:
		return step{name, withoutControls}, true
	case Invisible:
		return step{name, withoutUnseen}, true
	case NFC:
		return step{name, norm.NFC.String}, true
	case NFKC:
		return step{name, norm.NFKC.String}, true
	case Confusables:
		return step{name, folded}, true
	case Decode:
		return step{name, decoded}, true
	case Text:
		return step{name, textOnly(bluemonday.StrictPolicy())}, true
	case HTML:
		return step{name, formatted(formatting())}, true
	case Encode:
		return step{name, encoded}, true
	}
	return step{}, false
}

// check refuses steps that contradict each other.
func (r Rule) check(f Field) error {
	if len(r.Do) == 0 {
		return errors.New("it says not what is to be done")
	}
	for _, name := range r.Do {
		if _, known := stepOf(name); !known && name != StripUndeclared {
			return fmt.Errorf("there is no step %q", name)
		}
	}
	if slices.Contains(r.Do, StripUndeclared) {
		whole := f.In == "body" && len(f.Names) == 0 || f.In == "query" && len(f.Names) == 1 && f.Names[0] == Any
		if len(r.Do) > 1 || !whole {
			return errors.New("strip_undeclared is about the whole body, or the whole query, and stands alone")
		}
		return nil
	}
	for _, pair := range [][2]string{{NFC, NFKC}, {Text, HTML}, {Text, Encode}, {HTML, Encode}} {
		if slices.Contains(r.Do, pair[0]) && slices.Contains(r.Do, pair[1]) {
			return fmt.Errorf("%s and %s contradict each other", pair[0], pair[1])
		}
	}
	return nil
}
