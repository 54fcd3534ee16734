package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/shield"
)

// Schema returns the JSON Schema (draft 2020-12) of the main file, for editors. It
// is made of the tags that the decoder reads, and of the settings of the kinds.
// What it accepts may still be refused for what stands elsewhere in the file.
func Schema(kinds []shield.Kind) ([]byte, error) {
	b := &schemaBuilder{defs: map[string]any{}}
	b.shields(kinds)
	return b.document(reflect.TypeFor[File](), "Pavise configuration")
}

// OutboundSchema returns the JSON Schema of a file of `pavise serve --outbound`.
func OutboundSchema() ([]byte, error) {
	b := &schemaBuilder{defs: map[string]any{}}
	return b.document(reflect.TypeFor[Outbound](), "Pavise outbound calls")
}

func (b *schemaBuilder) document(t reflect.Type, title string) ([]byte, error) {
	root := b.object(t, reflect.Value{}, "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = title
	root["$defs"] = b.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

type schemaBuilder struct {
	defs map[string]any
}

type object = map[string]any

// object describes a struct. Given, a struct of that type, tells what holds where
// the file is silent; without it the tags do.
func (b *schemaBuilder) object(t reflect.Type, given reflect.Value, space string) object {
	properties := object{}
	var required []string
	for _, s := range settingsOf(t) {
		f := t.FieldByIndex(s.index)
		property := b.value(f.Type, s, space)
		property["description"] = s.description()
		if s.preset != "" {
			property["default"] = s.presetJSON(f.Type)
		} else if given.IsValid() && !s.secret {
			if value := given.FieldByIndex(s.index); !value.IsZero() {
				property["default"] = writtenJSON(value)
			}
		}
		properties[s.name] = property
		if s.required {
			required = append(required, s.name)
		}
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		o["required"] = required
	}
	return o
}

// description is the setting's sentence with its bounds, where the schema's own
// words cannot state them.
func (s setting) description() string {
	doc := s.doc
	switch {
	case s.least != "" && s.top != "":
		doc += " " + s.least + " to " + s.top + "."
	case s.least != "":
		doc += " At least " + s.least + "."
	case s.top != "":
		doc += " At most " + s.top + "."
	}
	if s.restart {
		doc += " A change takes effect with the next start."
	}
	return doc
}

func (s setting) presetJSON(t reflect.Type) any {
	v := reflect.New(t).Elem()
	s.fill(v)
	return writtenJSON(v)
}

// writtenJSON is a value as the file would hold it.
func writtenJSON(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case Duration, Size:
		return fmt.Sprint(value)
	case time.Duration:
		return Duration{value}.String()
	case fmt.Stringer:
		return value.String()
	}
	return v.Interface()
}

func (b *schemaBuilder) value(t reflect.Type, s setting, space string) object {
	switch t {
	case reflect.TypeFor[Duration](), reflect.TypeFor[time.Duration]():
		return object{"type": "string", "pattern": durationForm.String()}
	case reflect.TypeFor[Size]():
		return b.size(t, s)
	case reflect.TypeFor[Share]():
		return object{"type": "number", "minimum": 0, "maximum": 1}
	case reflect.TypeFor[Limit]():
		return object{"type": "string", "pattern": `^[1-9][0-9]{0,9}/(second|minute|hour|day) per (client|user|address|endpoint)( burst [1-9][0-9]{0,9})?( cost [1-9][0-9]{0,9})?$`}
	case reflect.TypeFor[Quota]():
		return object{"type": "string", "pattern": `^[1-9][0-9]{0,9}/(day|month) per (client|user|endpoint)( cost [1-9][0-9]{0,9})?$`}
	case reflect.TypeFor[Shield]():
		return object{"$ref": "#/$defs/shield"}
	case reflect.TypeFor[Certificate]():
		return object{"anyOf": []any{object{"enum": []string{"acme", "local", "own"}}, b.ref(t, space)}}
	case reflect.TypeFor[Detect]():
		return object{"anyOf": append(listOf(object{"type": "string", "enum": detectors()}), b.mapping(t, s, space))}
	case reflect.TypeFor[Upstream]():
		return object{"anyOf": append(listOf(object{"type": "string"}), b.ref(t, space))}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.value(t.Elem(), s, space)
	case reflect.Struct:
		if reflect.PointerTo(t).Implements(reflect.TypeFor[shield.Scalar]()) {
			return object{"anyOf": []any{object{"type": "string"}, b.ref(t, space)}}
		}
		return b.ref(t, space)
	case reflect.Map:
		return b.mapping(t, s, space)
	case reflect.Slice:
		return b.list(t, s, space)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if s.bytes {
			return b.size(t, s)
		}
		return b.bounded(object{"type": "integer"}, t, s)
	}
	return text(s)
}

func text(s setting) object {
	o := object{"type": "string"}
	if s.enum != nil {
		o["enum"] = s.enum
	}
	if s.pattern != "" {
		o["pattern"] = s.pattern
	}
	if n, err := strconv.Atoi(s.least); err == nil {
		o["minLength"] = n
	}
	if n, err := strconv.Atoi(s.top); err == nil {
		o["maxLength"] = n
	}
	return o
}

func (b *schemaBuilder) bounded(o object, t reflect.Type, s setting) object {
	if s.least != "" {
		o["minimum"] = s.bound(t, s.least)
	}
	if s.top != "" {
		o["maximum"] = s.bound(t, s.top)
	}
	return o
}

func (b *schemaBuilder) size(t reflect.Type, s setting) object {
	whole := b.bounded(object{"type": "integer", "minimum": 0}, t, s)
	return object{"anyOf": []any{whole, object{"type": "string", "pattern": sizeForm.String()}}}
}

// listOf describes a list that may be written as one value.
func listOf(element object) []any {
	return []any{element, object{"type": "array", "items": element, "minItems": 1, "uniqueItems": true}}
}

func (b *schemaBuilder) list(t reflect.Type, s setting, space string) object {
	element := b.value(t.Elem(), setting{enum: s.enum, pattern: s.pattern, least: s.least, top: s.top}, space)
	if t.Elem().Kind() == reflect.String || t.Elem() == reflect.TypeFor[Limit]() || t.Elem() == reflect.TypeFor[Quota]() {
		return object{"anyOf": listOf(element)}
	}
	return object{"type": "array", "items": element, "minItems": 1}
}

func (b *schemaBuilder) mapping(t reflect.Type, s setting, space string) object {
	o := object{"type": "object", "additionalProperties": b.value(t.Elem(), setting{enum: s.enum, pattern: s.pattern}, space)}
	if s.keys != "" {
		o["propertyNames"] = object{"pattern": s.keys}
	}
	return o
}

// ref describes a struct once, under its name, and refers to it.
func (b *schemaBuilder) ref(t reflect.Type, space string) object {
	name := strings.ToLower(space + t.Name())
	if _, ok := b.defs[name]; !ok {
		b.defs[name] = nil // a struct that holds itself refers to what is being made
		b.defs[name] = b.object(t, reflect.Value{}, space)
	}
	return object{"$ref": "#/$defs/" + name}
}

// shields describes what a shield may be.
func (b *schemaBuilder) shields(kinds []shield.Kind) {
	var words []string
	one := object{}
	for _, k := range kinds {
		c := k.Config()
		v := reflect.ValueOf(c).Elem()
		space := k.Name + "."
		b.defs[space+"settings"] = b.object(v.Type(), v, space)
		settings := object{"$ref": "#/$defs/" + space + "settings"}
		if _, ok := c.(shield.Scalar); ok {
			settings = object{"anyOf": []any{object{"type": "string"}, settings}}
		}
		settings["description"] = k.Summary
		one[k.Name] = settings
		if len(c.Validate()) == 0 {
			words = append(words, k.Name)
		}
	}
	combined := func(ref, doc string) object {
		return object{"type": "array", "items": object{"$ref": "#/$defs/" + ref}, "minItems": 2, "maxItems": maxCombined, "description": doc}
	}
	one[anyWord] = combined("shield", "The first shield that finds a credential of its own decides.")
	one[allWord] = combined("part", "Every one must prove its caller, and all the same client.")
	part := object{actorWord: object{"type": "boolean", "default": false, "description": "This proof may belong to another client."}}
	for name, settings := range one {
		part[name] = settings
	}
	form := func(properties object, most int) []any {
		alternatives := []any{object{"type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1, "maxProperties": most}}
		if words != nil {
			alternatives = append([]any{object{"enum": words}}, alternatives...)
		}
		return alternatives
	}
	b.defs["shield"] = object{"anyOf": form(one, 1)}
	b.defs["part"] = object{"anyOf": form(part, 2), "not": object{"required": []string{actorWord}, "maxProperties": 1}}
}
