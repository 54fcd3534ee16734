package config

// Where tells where a setting stands in the file, by its dotted path; if it does not stand
// there, where what holds it does.
func (f *File) Where(path string) Pos {
	at, _ := f.places.find(path) // the zero place says that it is not known
	return at.key
}

// Says reports whether a setting stands in the file, by its dotted path: what holds by default
// does not.
func (f *File) Says(path string) bool {
	_, ok := f.places[path]
	return ok
}
