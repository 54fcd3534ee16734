package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/pki/certfile"
)

// An endpoint that was put into the policy yesterday is not one that nobody calls. Since when each is in
// the policy stands in a file of the data folder: the log says of a start only that there was one, and
// does not say it for ever.

const (
	sinceFile    = "endpoints.json"
	sinceVersion = 1
	maxSinceFile = 16 << 20 // bytes
)

// inPolicy is since when endpoints are in the policy, by "API METHOD PATTERN".
type inPolicy struct {
	Version   int                  `json:"version"`
	Endpoints map[string]time.Time `json:"endpoints"`
}

// EndpointsSince says since when each endpoint of a configuration is in the policy of the gateway, by "API
// METHOD PATTERN". One that the gateway has not read yet is so from now on. nil: no gateway has started
// since that is kept.
func EndpointsSince(f *config.File, now time.Time) (map[string]time.Time, error) {
	known, err := readSince(f)
	if err != nil || known == nil {
		return nil, err
	}
	since, _, err := sinceOf(f, known, now)
	return since, err
}

// sinceOf are the endpoints of a configuration; moved says that others are known.
func sinceOf(f *config.File, known map[string]time.Time, now time.Time) (since map[string]time.Time, moved bool, err error) {
	all, err := f.Resolve()
	if err != nil {
		return nil, false, err
	}
	since = make(map[string]time.Time, len(all))
	for _, e := range all {
		name := e.API + " " + e.Pattern
		at, is := known[name]
		if !is {
			at, moved = now.UTC().Truncate(time.Second), true
		}
		since[name] = at
	}
	return since, moved || len(since) != len(known), nil
}

func readSince(f *config.File) (map[string]time.Time, error) {
	name := filepath.Join(f.State.Folder, sinceFile)
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read since when endpoints are in the policy: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxSinceFile+1))
	if err != nil {
		return nil, fmt.Errorf("read since when endpoints are in the policy: %w", err)
	}
	var kept inPolicy
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&kept); err != nil || strict.More() || kept.Version != sinceVersion || len(text) > maxSinceFile {
		return nil, fmt.Errorf("%s does not say since when endpoints are in the policy; the next start or reload writes it anew, and all endpoints are new then", name)
	}
	return kept.Endpoints, nil
}

// keepSince notes which endpoints are in the policy from now on. That it cannot is told, and stops
// nothing: what is not known to be old is not called unused.
func (a *App) keepSince(f *config.File) {
	known, err := readSince(f)
	if err != nil {
		a.warn(err)
	}
	since, moved, err := sinceOf(f, known, a.now())
	if err == nil && moved {
		var text []byte
		if text, err = json.MarshalIndent(inPolicy{sinceVersion, since}, "", " "); err == nil {
			err = certfile.Replace(filepath.Join(f.State.Folder, sinceFile), append(text, '\n'), 0o600)
		}
	}
	if err != nil {
		a.warn(fmt.Errorf("keep since when endpoints are in the policy: %w", err))
	}
}
