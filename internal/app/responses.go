package app

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/answer"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/leak"
	"pavise.dev/pavise/schema"
)

// usualAnswer is how much of an answer is held where a description has sensitive values, and
// the configuration says nothing of answers, in bytes.
const usualAnswer = 1 << 20

// outgoing judges the answers of an endpoint; nil: nobody asks for it. What the description
// calls sensitive is kept to in any case.
func (a *App) outgoing(f *config.File, g *generation, from config.Resolved) (pavise.Outgoing, error) {
	j := &answer.Judge{Contract: answer.Off, Most: usualAnswer, Now: a.now}
	var err error
	if from.OpenAPI != nil {
		if j.Answers, err = g.answers(f, from); err != nil {
			return nil, err
		}
	}
	settings := from.Responses
	if settings == nil {
		if j.Answers == nil || !j.Answers.Sensitive() {
			return nil, nil
		}
		settings = &config.Responses{Contract: string(answer.Off), MaxBody: usualAnswer}
	}
	if j.Answers != nil {
		j.Contract = answer.Contract(cmp.Or(settings.Contract, string(answer.Refuse)))
	}
	j.Most = int64(settings.MaxBody)
	for _, one := range settings.Streams {
		j.Streams = append(j.Streams, one.What)
	}
	if len(settings.Detect) > 0 {
		if j.Scanner, err = g.scanner(settings.Detect.Actions()); err != nil {
			return nil, fmt.Errorf("responses.detect: %w", err)
		}
		for _, action := range settings.Detect.Actions() {
			j.Strict = j.Strict || action != leak.Report
		}
	}
	if until, ok := from.Trial(config.TrialResponses); ok {
		j.Until = until
	}
	if j.Scanner == nil && j.Contract == answer.Off && (j.Answers == nil || !j.Answers.Sensitive()) {
		return nil, nil
	}
	return judging{by: j}, nil
}

// answers are those that an endpoint may give, as the API's description has them; nil where
// nobody judges them.
func (g *generation) answers(f *config.File, from config.Resolved) (*schema.Answers, error) {
	document, err := g.document(from.OpenAPI)
	if err != nil || from.Responses == nil && !document.SaysSensitive() {
		return nil, err
	}
	answers, err := document.Answers(from.Pattern)
	if err != nil {
		return nil, err
	}
	for _, scope := range answers.Scopes() {
		if _, known := f.Scopes[scope]; !known {
			return nil, fmt.Errorf("the description shows a value to the scope %q, which is not described under scopes", scope)
		}
	}
	return answers, nil
}

// scanner makes a scanner, once for all endpoints that look for the same.
func (g *generation) scanner(what map[leak.Kind]leak.Action) (*leak.Scanner, error) {
	name := ""
	for _, kind := range slices.Sorted(maps.Keys(what)) {
		name += string(kind) + "=" + string(what[kind]) + " "
	}
	if known := g.scanners[name]; known != nil {
		return known, nil
	}
	made, err := leak.New(what)
	if err != nil {
		return nil, err
	}
	if g.scanners == nil {
		g.scanners = map[string]*leak.Scanner{}
	}
	g.scanners[name] = made
	return made, nil
}
