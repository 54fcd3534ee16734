package app

import (
	"cmp"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
)

// keepTrail puts into the options of the event log what its trail is to be.
func keepTrail(f *config.File, o *audit.Options) {
	o.Node = cmp.Or(f.Log.Name, o.Node)
	for class, keep := range f.Log.KeepClass.Times() {
		if o.KeepClass == nil {
			o.KeepClass = map[audit.Class]time.Duration{}
		}
		o.KeepClass[audit.Class(class)] = keep
	}
	for _, s := range f.Log.Sinks {
		if s.File != nil && s.File.Keep.Duration > 0 && (o.OthersKeep == 0 || s.File.Keep.Duration < o.OthersKeep) {
			o.OthersKeep = s.File.Keep.Duration
		}
	}
}
