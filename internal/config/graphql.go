package config

// GraphQL is what a request in GraphQL may ask for.
type GraphQL struct {
	Depth         int              `yaml:"depth" doc:"Fields within fields." default:"10" min:"1" max:"100"`
	Fields        int              `yaml:"fields" doc:"Fields of a request, with its fragments written out." default:"500" min:"1" max:"100000"`
	Aliases       int              `yaml:"aliases" doc:"Fields that a request calls otherwise." default:"15" min:"1" max:"100000"`
	Directives    int              `yaml:"directives" doc:"Directives of a request." default:"20" min:"1" max:"10000"`
	Deferred      int              `yaml:"deferred" doc:"How many of them may be @defer or @stream." default:"0" min:"0" max:"1000"`
	Cost          int              `yaml:"cost" doc:"What a request may cost: each field 1, or its @cost, times the entries of the lists in which it stands." default:"1000" min:"1" max:"1000000000"`
	Batch         int              `yaml:"batch" doc:"Requests in one; 1: no batches. All other bounds are those of the whole batch." default:"1" min:"1" max:"1000"`
	Tokens        int              `yaml:"tokens" doc:"Words and signs of a document." default:"2000" min:"10" max:"100000"`
	Bytes         Size             `yaml:"bytes" doc:"Longest document." default:"32KiB" min:"100" max:"1MiB"`
	Variables     Size             `yaml:"variables" doc:"Longest variables." default:"64KiB" min:"2" max:"16MiB"`
	ListSize      int              `yaml:"list_size" doc:"How many entries are counted where a list of the schema is asked for without a size." default:"10" min:"1" max:"100000"`
	Introspection bool             `yaml:"introspection" doc:"The service may be asked for its schema (__schema, __type)."`
	Operations    Words            `yaml:"operations" doc:"The names that operations may have. A name proves nothing: persisted does. Default: any."`
	Scopes        map[string]Words `yaml:"scopes" doc:"Scopes of fields: Mutation.placeOrder, or Query.* for its others; any: none is demanded. Where one is named, fields of Query, Mutation and Subscription that are not are refused. Fields of other types need schema." hint:"write Type.field, or Type.*" keys:"^[A-Za-z_][A-Za-z0-9_]*\\.([A-Za-z_][A-Za-z0-9_]*|\\*)$"`
	Schema        string           `yaml:"schema" doc:"File with the service's schema, in its definition language. With it, fields are known, and the sizes of lists."`
	Persisted     string           `yaml:"persisted" doc:"File with the only documents that there may be: {name: document} in JSON, or a manifest of Apollo."`
	Pos           Pos              `yaml:"-"`
}

// checkGraphQL refuses what cannot be GraphQL, scopes that nobody described, and files that are
// not there.
func (r *resolver) checkGraphQL(path, method string, g *GraphQL) {
	if g == nil {
		return
	}
	path += ".graphql"
	if method != "GET" && method != "POST" {
		r.atKey(path, "list GET or POST", "GraphQL is asked with GET or POST, not %s", method)
	}
	for _, name := range sortedKeys(g.Scopes) {
		r.checkNamed(path+".scopes."+name, g.Scopes[name])
	}
}
