package inventory

import (
	"slices"
	"strings"
)

// What strangers alone ask for, below one path: so many are told one by one, the rest as one.
const (
	manySiblings = 50
	fewSiblings  = 25
)

// below is a path, and how it is asked for.
type below struct{ host, method, code, path string }

// together tells what strangers alone asked for as one, where there is much of it below one path: lists of
// words that somebody tries. What a service answered, and what callers asked for, stays as it is. The list is
// sorted, and stays so.
func together(all []Unknown) []Unknown {
	for depth := maxSegments; depth >= 1; depth-- {
		count := map[below]int{}
		for i := range all {
			if at, ok := all[i].below(depth); ok {
				count[at]++
			}
		}
		rest, seen := map[below]*Unknown{}, map[below]int{}
		all = slices.DeleteFunc(all, func(u Unknown) bool {
			at, ok := u.below(depth)
			if !ok || count[at] <= manySiblings {
				return false
			}
			if seen[at]++; seen[at] <= fewSiblings {
				return false
			}
			if rest[at] == nil {
				rest[at] = &Unknown{Host: at.host, Method: at.method, Code: at.code, Path: at.path + "/{any}", API: u.API, Through: u.Through, First: u.First}
			}
			rest[at].add(&u)
			return true
		})
		for _, one := range rest {
			all = append(all, *one)
		}
		slices.SortFunc(all, compareUnknown)
	}
	return all
}

// below is where something stands, so many parts deep; false: it is not told together with others there.
func (u *Unknown) below(depth int) (below, bool) {
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if u.Answered > 0 || u.Callers > 0 || u.Paths > 0 || len(parts) < depth {
		return below{}, false
	}
	path := ""
	if depth > 1 {
		path = "/" + strings.Join(parts[:depth-1], "/")
	}
	return below{u.Host, u.Method, u.Code, path}, true
}

func (u *Unknown) add(o *Unknown) {
	u.Paths++
	u.Requests += o.Requests
	u.Networks, u.Days = max(u.Networks, o.Networks), max(u.Days, o.Days)
	if o.First.Before(u.First) {
		u.First = o.First
	}
	if o.Last.After(u.Last) {
		u.Last, u.Sample = o.Last, o.Sample
	}
}
