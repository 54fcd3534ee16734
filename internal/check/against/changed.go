package against

import (
	"reflect"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/config"
)

// unchanged reports of endpoints whether nothing that could matter to them differs.
func unchanged(older, newer *config.File) func(e *config.Resolved) bool {
	nothing := func(*config.Resolved) bool { return false }
	if older.Dir != newer.Dir {
		return nothing // files of one name may differ
	}
	at := touched{apis: map[string]bool{}, endpoints: map[[2]string]bool{}}
	for _, c := range config.Changes(older, newer) {
		rest, ok := strings.CutPrefix(c.Path, "apis.")
		if !ok && (strings.HasPrefix(c.Path, "scopes.") || isBeside(c.Path)) {
			continue
		}
		if !ok || !at.note(rest, older, newer) {
			return nothing
		}
	}
	// An API that comes or goes may take requests from the others of its host.
	hosts := map[string]bool{}
	for api := range at.apis {
		if isMoved(older.APIs[api], newer.APIs[api]) {
			for _, f := range []*config.File{older, newer} {
				for _, host := range f.APIs[api].Host {
					hosts[host] = true
				}
			}
		}
	}
	return func(e *config.Resolved) bool {
		return !at.apis[e.API] && !at.endpoints[[2]string{e.API, e.Pattern}] && !slices.ContainsFunc(e.Hosts, func(host string) bool { return hosts[host] })
	}
}

// touched is where something differs: in all of an API, or in one endpoint.
type touched struct {
	apis      map[string]bool
	endpoints map[[2]string]bool // API and pattern
}

// note finds what a change within APIs is about; names and patterns may hold dots. False: it
// cannot be told.
func (t touched) note(path string, older, newer *config.File) bool {
	found := false
	for _, f := range []*config.File{older, newer} {
		for name, api := range f.APIs {
			setting, ok := below(path, name)
			if !ok {
				continue
			}
			found = true
			own, inside := strings.CutPrefix(setting, "endpoints.")
			if !inside || isMoved(older.APIs[name], newer.APIs[name]) {
				t.apis[name] = true
				continue
			}
			for pattern := range api.Endpoints {
				if _, ok := below(own, pattern); ok {
					t.endpoints[[2]string{name, pattern}] = true
				}
			}
		}
	}
	return found
}

// isMoved reports whether requests may go elsewhere: hosts, patterns, or what the door lets
// through of paths differ.
func isMoved(a, b config.API) bool {
	if !slices.Equal(a.Host, b.Host) || len(a.Endpoints) != len(b.Endpoints) || !reflect.DeepEqual(allowed(a), allowed(b)) {
		return true
	}
	for pattern := range a.Endpoints {
		if _, ok := b.Endpoints[pattern]; !ok {
			return true
		}
	}
	return false
}

func allowed(api config.API) (all []string) {
	for _, a := range api.Allow {
		all = append(all, a.What)
	}
	return all
}

// isBeside reports whether a setting decides about no request to an endpoint, or about all alike.
func isBeside(path string) bool {
	for _, prefix := range []string{"log", "state", "honeypots", "pki", "listen", "waivers", "include", "fetch", "limits"} {
		if path == prefix || strings.HasPrefix(path, prefix+".") {
			return true
		}
	}
	return false
}
