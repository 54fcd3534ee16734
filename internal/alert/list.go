package alert

// Detections are all that there are.
func Detections() []Kind {
	return []Kind{
		guessing(),
		objects(),
	}
}
