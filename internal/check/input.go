package check

import (
	"fmt"
	"slices"

	"pavise.dev/pavise/internal/config"
)

func rulesOfInput() []rule {
	return []rule{
		says("contract-missing", low, "API8 ASVS-2.2.1 REC-API-3 REC-API-13", "Input that is held to nothing", "Whatever is sent reaches the service: properties that nobody thought of, of any size and type.", "openapi at the API, or body_schema at the endpoint", contractMissing),
		says("injection-unwatched", info, "API8 ASVS-1.2.4 REC-API-22", "Free text that nobody looks at", "Neither a description nor the detectors stand between a caller's text and the service's database.", "injection: on", injectionUnwatched),
		says("answers-unjudged", info, "API3 ASVS-15.3.1 REC-API-13 REC-API-25", "Answers of personal data that nobody judges", "Whatever the service returns leaves: columns that were added since, card numbers, traces.", "responses: {detect: [card, key, trace]}, and the API's description", answersUnjudged),
		says("idempotency-missing", medium, "API6 ASVS-2.3.3 REC-API-13", "Money moved twice", "A caller whose connection broke sends again, and pays again; who wants to can do so at the same moment.", "idempotency: {}", idempotencyMissing),
		says("graphql-introspection", low, "API9 ASVS-4.3.2 REC-API-24", "A service that tells its schema to everybody", "Fields that nobody was to know of are found in one request.", "take introspection: true away where the API is in use", graphqlIntrospection),
		says("graphql-loose", medium, "API4 ASVS-4.3.1 REC-API-14", "GraphQL with wide bounds", "One request asks for as much as a thousand.", "depth: 10, cost: 1000, aliases: 15, batch: 1", graphqlLoose),
		says("graphql-unscoped", low, "API5 ASVS-8.2.3 REC-API-20", "Changes by GraphQL without scopes of their own", "Whoever may ask may change: the endpoint's scope is the same for queries and mutations.", "graphql: {scopes: {\"Mutation.*\": [orders:write]}}", graphqlUnscoped),
		says("large-integers", info, "API8 ASVS-2.2.1 REC-API-5", "Numbers that readers read differently", "Whole numbers beyond 2^53 are rounded by many readers: what was checked is not what is stored.", "send them as text", largeIntegers),
		says("flow-slow", low, "API6 ASVS-2.3.1 REC-API-10", "Steps that may lie days apart", "A sequence that somebody began is waited for, and can be gone on with when its numbers are no longer right.", "within: 30m", flowSlow),
		says("injection-lax", low, "API8 ASVS-1.2.4 REC-API-22", "Detectors that look away from much", "With these exceptions a text goes through where others would look.", "an exception for one field and one detector each", injectionLax),
	}
}

func contractMissing(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if writes(e) && e.Method != "DELETE" && !isCatchAll(e) && isExposed(e) && e.OpenAPI == nil && e.Schema == nil && e.GraphQL == nil && !l.File.Says(path+".insecure_undescribed") {
			l.found(path, "%s is held to no description", e.Pattern)
		}
	})
}

// isExposed reports whether others than programs of this machine can call an endpoint.
func isExposed(e *config.Resolved) bool {
	return slices.ContainsFunc(e.Hosts, func(host string) bool { return !isHere(host) })
}

func injectionUnwatched(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if writes(e) && e.OpenAPI == nil && e.Schema == nil && e.GraphQL == nil && e.Injection == nil {
			l.found(path, "%s has neither a description nor detectors", e.Pattern)
		}
	})
}

func answersUnjudged(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if word := speaksOf(e.Path, personal()); word != "" && e.Responses == nil && e.OpenAPI == nil {
			l.found(path, "%s speaks of %s, and its answers are not judged", e.Pattern, word)
		}
	})
}

func idempotencyMissing(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if word := speaksOf(e.Path, paying()); word != "" && e.Method == "POST" && e.Idempotency == nil && e.Step == nil && !isPublic(e) && !l.once(e) {
			l.found(path, "%s speaks of %s, and may be carried out twice", e.Pattern, word)
		}
	})
}

// once reports whether no request to an endpoint is accepted twice: each has to be signed anew.
func (l *look) once(e *config.Resolved) bool {
	return !slices.ContainsFunc(l.waysOf(e.Shield), func(w way) bool { return !w.has("hmac") })
}

func (l *look) graphql(visit func(e *config.Resolved, path string, g *config.GraphQL)) {
	l.each(func(e *config.Resolved, path string) {
		if e.GraphQL != nil {
			visit(e, path+".graphql", e.GraphQL)
		}
	})
}

func graphqlIntrospection(l *look) {
	l.graphql(func(_ *config.Resolved, path string, g *config.GraphQL) {
		if g.Introspection {
			l.found(path+".introspection", "__schema may be asked for")
		}
	})
}

func graphqlLoose(l *look) {
	l.graphql(func(_ *config.Resolved, path string, g *config.GraphQL) {
		for _, bound := range []struct {
			name    string
			n, most int
		}{{"depth", g.Depth, 25}, {"cost", g.Cost, 100_000}, {"aliases", g.Aliases, 200}, {"fields", g.Fields, 5000}, {"batch", g.Batch, 50}} {
			if bound.n > bound.most && g.Persisted == "" {
				l.found(path+"."+bound.name, "%s: %d is allowed", bound.name, bound.n)
			}
		}
	})
}

func graphqlUnscoped(l *look) {
	l.graphql(func(e *config.Resolved, path string, g *config.GraphQL) {
		if len(g.Scopes) == 0 && e.Method == "POST" && !isPublic(e) {
			l.found(path, "%s demands the same of queries and mutations", e.Pattern)
		}
	})
}

func largeIntegers(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if e.OpenAPI != nil && e.OpenAPI.LargeIntegers {
			l.found("apis."+e.API+".openapi.large_integers", "they are accepted")
		}
		if e.Schema != nil && e.Schema.LargeIntegers {
			l.found(path+".body_schema.large_integers", "they are accepted")
		}
	})
}

func flowSlow(l *look) {
	for _, name := range sorted(l.File.APIs) {
		for _, flow := range sorted(l.File.APIs[name].Flows) {
			if within := l.File.APIs[name].Flows[flow].Within; within.Duration > day {
				l.found("apis."+name+".flows."+flow+".within", "a step may follow %s later", within)
			}
		}
	}
}

func injectionLax(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if e.Injection == nil {
			return
		}
		at := path + ".injection"
		if !l.File.Says(at) {
			at = "apis." + e.API + ".injection"
		}
		for i, except := range e.Injection.Except {
			if len(except.Detectors) == 0 {
				l.found(fmt.Sprintf("%s.insecure_except.%d", at, i), "no detector looks at %s", except.What)
			}
		}
	})
}
