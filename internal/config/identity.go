package config

import (
	"slices"
	"strings"
)

// checkIdentity refuses plain headers that name a person or a subject without whoever vouches for
// it, where several may: whoever runs one issuer would name the users of another.
func (r *resolver) checkIdentity(name string, api *API, endpoints []Resolved) {
	words := map[string]bool{}
	for _, word := range api.Identity.Headers {
		words[word] = true
	}
	if words["issuer"] || !words["user"] && !words["subject"] {
		return
	}
	var issuers []string
	ownClients := false // also prove subjects, by the names of clients
	for i := range endpoints {
		if s := endpoints[i].Shield; s != nil {
			vouching(s, &issuers, &ownClients)
		}
	}
	slices.Sort(issuers)
	for _, header := range sortedKeys(api.Identity.Headers) {
		word := api.Identity.Headers[header]
		if word != "user" && word != "subject" || len(issuers) == 0 {
			continue
		}
		who := strings.Join(issuers, ", ")
		if word == "subject" && ownClients {
			who += " and the clients here"
		} else if len(issuers) < 2 {
			continue
		}
		r.at("apis."+name+".identity.headers."+header, "add X-Issuer: issuer, and let the service read both; or let it read the token alone",
			"%s means somebody else with each of %s, and the service cannot tell them apart", word, who)
	}
}

// vouching gathers the issuers of a shield's tokens, and whether credentials of other kinds do as well.
func vouching(s *Shield, issuers *[]string, ownClients *bool) {
	for i := range s.Any {
		vouching(&s.Any[i], issuers, ownClients)
	}
	for i := range s.All {
		vouching(&s.All[i].Shield, issuers, ownClients)
	}
	if s.Config == nil || isPublic(s) {
		return
	}
	namer, ok := s.Config.(Namer)
	if !ok {
		*ownClients = true
		return
	}
	for _, name := range namer.Names()["issuer"] {
		if !slices.Contains(*issuers, name) {
			*issuers = append(*issuers, name)
		}
	}
}
