package shield

// PartsOf returns what a shield is put together of, so that somebody who explains it can
// ask each part by itself; all tells an [All] from an [Any]. It returns nil for a shield
// that combines no others. What a request may do is decided by Verify, never by parts.
func PartsOf(s Shield) (parts []Part, all bool) {
	switch combined := s.(type) {
	case allOf:
		return append(parts, combined...), true
	case anyOf:
		for _, one := range combined {
			parts = append(parts, Part{Shield: one})
		}
	}
	return parts, false
}

// Passes reports whether err lets another shield of an [Any] try: nothing of this shield's
// was there.
func Passes(err error) bool {
	_, ok := passes(err)
	return ok
}
