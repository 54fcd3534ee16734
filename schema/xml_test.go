package schema_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
)

const inXML = `
    Pet: {type: object, xml: {name: pet}, required: [name], properties: {
      id: {type: integer, xml: {attribute: true}, maximum: 5}, name: {type: string, maxLength: 5}, good: {type: boolean, xml: {name: isGood}},
      tags: {type: array, maxItems: 2, items: {type: string, xml: {name: tag}}},
      toys: {type: array, xml: {wrapped: true}, items: {type: object, xml: {name: toy}, properties: {size: {type: integer}}}},
      young: {type: array, items: {$ref: "#/components/schemas/Pet"}}, home: {type: string, xml: {name: home, namespace: "urn:home", prefix: h}},
      both: {allOf: [{$ref: "#/components/schemas/Size"}, {type: object, properties: {deep: {type: integer}}}]}}}
    Size: {type: object, properties: {wide: {type: integer}}}
    Loose: {type: object, properties: {a: {type: string}}, additionalProperties: {type: string}}
`

func TestXMLBodies(t *testing.T) {
	attacktest.Rows(t, 106, 108)
	o := operation(t, open(t, post("3.0.3", "application/xml", `{$ref: "#/components/schemas/Pet"}`, inXML), schema.Options{}), "POST /a")
	wrap := func(inner string) string { return "<pet><name>Rex</name>" + inner + "</pet>" }
	bomb := `<!DOCTYPE pet [<!ENTITY a "aaaaaaaaaa">`
	for c := 'b'; c < 'k'; c++ {
		bomb += "<!ENTITY " + string(c) + ` "` + strings.Repeat("&"+string(c-1)+";", 10) + `">`
	}
	for name, c := range map[string]struct{ body, want string }{
		"the least":                     {wrap(""), ""},
		"a declaration":                 {`<?xml version="1.0" encoding="UTF-8" standalone='yes'?>` + wrap("\n "), ""},
		"an attribute":                  {`<pet id="5"><name>Rex</name></pet>`, ""},
		"another name":                  {wrap("<isGood>true</isGood>"), ""},
		"an array":                      {wrap("<tag>a</tag><tag>b</tag>"), ""},
		"an array of its own":           {wrap("<toys><toy><size>1</size></toy><toy/></toys>"), ""},
		"itself":                        {wrap("<pet><name>a</name><pet><name>b</name></pet></pet><pet><name>c</name></pet>"), ""},
		"a namespace":                   {wrap(`<h:home xmlns:h="urn:home">x</h:home>`), ""},
		"allOf":                         {wrap("<both><wide>1</wide><deep>2</deep></both>"), ""},
		"the five entities":             {"<pet><name>&lt;&amp;&gt;&quot;&apos;</name></pet>", ""},
		"characters by number":          {"<pet><name>&#65;&#x42;</name></pet>", ""},
		"a comment between":             {wrap("<!-- a -->"), ""},
		"CDATA":                         {"<pet><name><![CDATA[<b>]]></name></pet>", ""},
		"beyond a bound":                {`<pet id="6"><name>Rex</name></pet>`, "body /id maximum"},
		"no number":                     {`<pet id="x"><name>Rex</name></pet>`, "body /id type"},
		"too long":                      {"<pet><name>Rexxxx</name></pet>", "body /name maxLength"},
		"what is required":              {"<pet/>", "body /name required"},
		"undeclared":                    {wrap("<admin>true</admin>"), "body /admin undeclared"},
		"an undeclared attribute":       {`<pet admin="1"><name>Rex</name></pet>`, "body /admin undeclared"},
		"beneath":                       {wrap("<toys><toy><x/></toy></toys>"), "body /toys/0/x undeclared"},
		"too many":                      {wrap("<tag>a</tag><tag>b</tag><tag>c</tag>"), "body /tags maxItems"},
		"XXE":                           {`<!DOCTYPE pet [<!ENTITY x SYSTEM "file:///etc/passwd">]><pet><name>&x;</name></pet>`, "body  form"},
		"a document type":               {`<!DOCTYPE pet>` + wrap(""), "body  form"},
		"a document type within":        {"<pet><!DOCTYPE pet><name>Rex</name></pet>", "body  form"},
		"billion laughs":                {bomb + "]><pet><name>&j;</name></pet>", "body  form"},
		"another entity":                {"<pet><name>&nbsp;</name></pet>", "body  form"},
		"a style sheet":                 {`<?xml-stylesheet href="x"?>` + wrap(""), "body  form"},
		"an instruction":                {wrap("<?php x ?>"), "body  form"},
		"a declaration within":          {wrap(`<?xml version="1.0"?>`), "body  form"},
		"another version":               {`<?xml version="1.1"?>` + wrap(""), "body  form"},
		"UTF-7":                         {`<?xml version="1.0" encoding="UTF-7"?>` + wrap(""), "body  form"},
		"UTF-16":                        {"\xff\xfe<\x00p\x00", "body  form"},
		"a byte order mark":             {"\xef\xbb\xbf" + wrap(""), "body  form"},
		"not UTF-8":                     {"<pet><name>\xff</name></pet>", "body  form"},
		"NUL":                           {"<pet><name>&#0;</name></pet>", "body  form"},
		"a comment in a text":           {"<pet><name>ad<!-- -->min</name></pet>", "body  form"},
		"an element in a text":          {"<pet><name>a<b/>c</name></pet>", "body  form"},
		"text between":                  {wrap("hello"), "body  form"},
		"an element twice":              {wrap("<name>b</name>"), "body  form"},
		"an attribute twice":            {`<pet id="1" id="2"><name>Rex</name></pet>`, "body  form"},
		"an attribute twice, by prefix": {`<pet xmlns:a="u" xmlns:b="u" a:x="1" b:x="2"><name>Rex</name></pet>`, "body  form"},
		"another root":                  {"<cat><name>Rex</name></cat>", "body  form"},
		"two roots":                     {wrap("") + wrap(""), "body  form"},
		"text behind":                   {wrap("") + "x", "body  form"},
		"no end":                        {"<pet><name>Rex</name>", "body  form"},
		"ends crossed":                  {"<pet><name>Rex</pet></name>", "body  form"},
		"another namespace":             {`<pet xmlns="urn:x"><name>Rex</name></pet>`, "body  form"},
		"none of the namespace":         {wrap("<home>x</home>"), "body  form"},
		"a prefix of nothing":           {"<pet><a:name>Rex</a:name></pet>", "body  form"},
		"two colons":                    {`<pet xmlns:a="u"><a:b:name>Rex</a:b:name></pet>`, "body  form"},
		"a property's name":             {wrap("<good>true</good>"), "body  form"},
		"another entry":                 {wrap("<toys><x/></toys>"), "body  form"},
		"an attribute of a list":        {wrap(`<toys a="1"/>`), "body  form"},
		"deep":                          {strings.Repeat("<pet>", 10_000), "body  form"},
		"deep in itself":                {strings.Repeat("<pet><name>a</name>", 100) + strings.Repeat("</pet>", 100), "body  form"},
		"many":                          {wrap(strings.Repeat("<tag/>", 100_001)), "body  form"},
		"many attributes":               {"<pet" + strings.Repeat(` a="1"`, 3) + "/>", "body  form"},
		"nothing":                       {" ", "body  form"},
	} {
		if got := answer(o, "POST", "/a", c.body, "Content-Type", "application/xml"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	formOnly := operation(t, open(t, post("3.0.3", "application/xml", `{type: string}`, ""), schema.Options{}), "POST /a")
	for body, want := range map[string]string{"<any><thing a='1'/></any>": "", "<!DOCTYPE a><a/>": "body  form", "<a><b></a>": "body  form"} {
		if got := answer(formOnly, "POST", "/a", body, "Content-Type", "application/xml"); got != want {
			t.Errorf("%s without a schema: %q, want %q", body, got, want)
		}
	}
	loose := operation(t, open(t, post("3.0.3", "application/xml", `{$ref: "#/components/schemas/Loose"}`, inXML), schema.Options{}), "POST /a")
	if got := answer(loose, "POST", "/a", "<Loose><a>x</a><b>y</b></Loose>", "Content-Type", "application/xml"); got != "" {
		t.Errorf("further properties: %q", got)
	}
}

func TestSchemasThatXMLCannotTell(t *testing.T) {
	for name, s := range map[string]string{
		"no name":                `{type: object, properties: {a: {type: string}}}`,
		"alternatives":           `{type: object, xml: {name: a}, properties: {a: {oneOf: [{type: string}, {type: integer}]}}}`,
		"several types":          `{type: object, xml: {name: a}, properties: {a: {type: [string, integer]}}}`,
		"no type":                `{type: object, xml: {name: a}, properties: {a: {}}}`,
		"an array in an array":   `{type: object, xml: {name: a}, properties: {a: {type: array, items: {type: array, items: {type: string}}}}}`,
		"an array as attribute":  `{type: object, xml: {name: a}, properties: {a: {type: array, xml: {attribute: true}, items: {type: string}}}}`,
		"an object as attribute": `{type: object, xml: {name: a}, properties: {a: {type: object, xml: {attribute: true}}}}`,
		"an array as root":       `{type: array, xml: {name: a}, items: {type: string}}`,
		"one name for two":       `{type: object, xml: {name: a}, properties: {a: {type: string, xml: {name: x}}, x: {type: string}}}`,
	} {
		d := open(t, post("3.1.0", "application/xml", s, ""), schema.Options{})
		if _, err := d.Operation("POST /a"); err == nil || !strings.Contains(err.Error(), "XML") && !strings.Contains(err.Error(), "element") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is accepted, Go's own reader reads as well.
func FuzzXML(f *testing.F) {
	o := operation(f, open(f, post("3.0.3", "application/xml", `{$ref: "#/components/schemas/Pet"}`, inXML), schema.Options{}), "POST /a")
	f.Add(`<pet id="1" xmlns:h="urn:home"><name>Rex</name><h:home>x</h:home><pet><name>a</name></pet><toys><toy/></toys></pet>`)
	f.Fuzz(func(t *testing.T, body string) {
		if answer(o, "POST", "/a", body, "Content-Type", "application/xml") != "" {
			return
		}
		var pet struct {
			XMLName xml.Name `xml:"pet"`
			Name    []string `xml:"name"`
		}
		if err := xml.Unmarshal([]byte(body), &pet); err != nil || len(pet.Name) != 1 {
			t.Fatalf("%q is accepted, but read as %v, %v", body, pet, err)
		}
	})
}
