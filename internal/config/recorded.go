package config

import (
	"regexp"
	"slices"

	"pavise.dev/pavise/audit"
)

// Recorded says what the events of an API show, beside or short of what is usual.
type Recorded struct {
	Query Words `yaml:"show_query" doc:"Parameters of the query whose values are shown, as far as they are short and plain: page, sort. All others are hidden." pattern:"^[A-Za-z0-9._-]{1,64}$" hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores"`
	Hide  Words `yaml:"hide" doc:"Names in the patterns of endpoints whose part of the path is hidden: email hides what stands for {email}. Those that name credentials are hidden anyway." pattern:"^[A-Za-z_][A-Za-z0-9_]{0,63}$" hint:"write the name alone: email, for {email}"`
}

// mostShown bounds how many parameters are looked for in each query.
const mostShown = 32

var wildcard = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}`)

// checkRecorded refuses what would show secrets, and names that nothing has: a misspelled one
// would hide nothing.
func (r *resolver) checkRecorded(path string, api *API) {
	if len(api.Events.Query) > mostShown {
		r.at(path+".show_query", "choose those that you read", "%d parameters are too many, at most %d are shown", len(api.Events.Query), mostShown)
	}
	each(path+".show_query", api.Events.Query, func(path, name string) {
		if audit.IsSecretName(name) {
			r.at(path, "remove it", "%q is the name of something that must not be recorded", name)
		}
	})
	var known []string
	for pattern := range api.Endpoints {
		for _, found := range wildcard.FindAllStringSubmatch(pattern, -1) {
			known = append(known, found[1])
		}
	}
	slices.Sort(known)
	each(path+".hide", api.Events.Hide, func(path, name string) {
		if !slices.Contains(known, name) {
			r.at(path, didYouMean(name, slices.Compact(known), "name a part of a pattern: email, for {email}"), "no endpoint of this API has {%s} in its path", name)
		}
	})
}
