package pavise

import (
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// Trial is a layer of which refusals are only recorded, until a time; from then on it
// refuses. It uses nothing up. Shields, the door and revocations cannot be on trial.
type Trial struct {
	Name  string // of the event: "contract", "injection", "candidate-when"
	Layer Layer
	Until time.Time
}

// Check implements [Layer]: it asks the layer, as when the trial is over.
func (t *Trial) Check(r *http.Request, id *shield.Identity) error { return t.Layer.Check(r, id) }

// Body implements [BodyReader].
func (t *Trial) Body() int64 {
	if reader, ok := t.Layer.(BodyReader); ok {
		return reader.Body()
	}
	return 0
}

// Would writes what the event tells of a refusal that a trial kept back: the name of what
// is tried, the code, and the first field that breaks a rule.
func Would(name string, err error) string {
	refusal := problem.Classify(err)
	text := name + " " + string(refusal.Code)
	if len(refusal.Fields) > 0 {
		f := refusal.Fields[0]
		// A pointer may hold a name that the caller chose, and what is told of several layers is
		// joined by semicolons: nobody adds a layer of his own.
		text += " " + f.In + " " + f.Rule + " " + strings.ReplaceAll(f.Pointer, ";", "%3B")
	}
	return maskText(strings.TrimRight(text, " "))
}

// layer asks a layer. One that is on trial is only recorded.
func (x *exchange) layer(l Layer) error {
	if l == nil {
		return nil
	}
	if all, ok := l.(Layers); ok {
		return x.layers(all)
	}
	err := l.Check(x.request, x.identity)
	trial, isTrial := l.(*Trial)
	if err == nil || !isTrial || !x.event.Time.Before(trial.Until) {
		return err
	}
	x.would(Would(trial.Name, err))
	return nil
}

// would adds to the event why the request would have been refused.
func (x *exchange) would(text string) {
	x.event.Would = joined(x.event.Would, text)
}

// candidates asks what may become policy.
func (x *exchange) candidates() error {
	for _, c := range x.endpoint.Candidates {
		if err := x.layer(c); err != nil {
			return err
		}
	}
	return nil
}
