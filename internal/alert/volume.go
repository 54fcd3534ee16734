package alert

import (
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of volume.
const (
	volumeMost  = 1000 // requests of one identity within an hour
	volumeOften = 8    // times its largest hour
	volumeDays  = 7    // for which an identity is only learned
	volumeHalf  = 30   // days after which its largest hour counts half
)

// unusualVolume notices an identity that calls far more than ever.
func unusualVolume(t thresholds) Kind {
	most := t.of("unusual_volume", volumeMost)
	return Kind{
		Name: "unusual_volume", Severity: Medium, Quiet: 6 * time.Hour, About: perIdentity.subjects(audit.Request),
		Means: "one identity sends many times as many requests in an hour as ever before: a runaway program, or somebody else with its credential",
		Do:    "look what it asks for (pavise log search --client NAME --since 1h), and give it a limit or a quota",
		Most:  most, Counts: "requests of one identity within an hour, and many times as many as ever",
		New: func() Detection { return &volumes{most: uint32(most)} },
	}
}

type volumes struct {
	sharer
	most uint32
}

// See implements Detection.
func (v *volumes) See(e *audit.Event, raise func(Alert)) {
	at := v.who.now
	if at == nil || at.N <= v.most || float32(at.N) <= volumeOften*at.Largest || at.Day < at.First+volumeDays {
		return
	}
	if at.N%(v.most+1) == 0 || float32(at.N-1) <= volumeOften*at.Largest { // now and then is enough
		raise(Alert{Subject: holderOf(e), What: fmt.Sprintf("%d requests within an hour; %.0f were the most so far", at.N, at.Largest)})
	}
}
