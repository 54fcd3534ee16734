package syslog

import "pavise.dev/pavise/audit"

// AppendMessage writes a message, for the fuzz test.
func AppendMessage(s Settings, f audit.Found) []byte {
	d := Destination{s: s, head: newHeader(s)}
	return d.appendMessage(nil, f)
}
