package pavise

import (
	"net/http"

	"pavise.dev/pavise/shield"
)

// Layers are several in the place of one, asked in order. Each may be on trial by itself.
type Layers []Layer

// Check implements [Layer].
func (all Layers) Check(r *http.Request, id *shield.Identity) error {
	for _, l := range all {
		if err := l.Check(r, id); err != nil {
			return err
		}
	}
	return nil
}

// Body implements [BodyReader].
func (all Layers) Body() (most int64) {
	for _, l := range all {
		if reader, ok := l.(BodyReader); ok {
			most = max(most, reader.Body())
		}
	}
	return most
}

// layers asks each, one that is on trial as such.
func (x *exchange) layers(all Layers) error {
	for _, l := range all {
		if err := x.layer(l); err != nil {
			return err
		}
	}
	return nil
}
