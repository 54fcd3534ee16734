package alert

import "slices"

// thresholds are those that the operator has set, by the names of detections.
type thresholds map[string]int

// of is the threshold of a detection: the operator's, or ours.
func (t thresholds) of(name string, ours int) int {
	if n, ok := t[name]; ok {
		return n
	}
	return ours
}

// Detections are all that there are, with our own thresholds.
func Detections() []Kind { return Select(nil, nil) }

// Select are all but those that are off, with the thresholds that the operator has set.
func Select(off []string, set map[string]int) []Kind {
	t := thresholds(set)
	var all []Kind
	for _, r := range rules(t) {
		all = append(all, r.Kind())
	}
	all = append(all, learning(t)...)
	return slices.DeleteFunc(all, func(k Kind) bool { return slices.Contains(off, k.Name) })
}

// rules are the detections that only count.
func rules(t thresholds) []Rule {
	return []Rule{
		guessing(t), attacked(t), signIns(t), unauthorized(t),
		revoked(t), expired(t), replays(t), exposed(t), plainHTTP(t),
		scopeProbing(t), endpointScan(t),
		refreshReuse(t), tampering(t), unbound(t), forgedCertificate(t),
		injections(t), honeypots(t), flowAbuse(t), protocolAbuse(t),
		endingCertificates(t), lostEvents(t), staleState(t), failedSchedule(t),
	}
}

// learning are those that know what is usual.
func learning(t thresholds) []Kind {
	return []Kind{
		errorRate(t), stuffing(t), manyNetworks(t), firstUse(t), unusualVolume(t), unusualHour(t), massReading(t), objectProbing(t), failingSinks(t),
	}
}
