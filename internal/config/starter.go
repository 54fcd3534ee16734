package config

import (
	_ "embed"
	"strings"
)

//go:embed starter.yaml
var starter string

// Starter returns the commented file that `pavise init` writes: one API in front
// of upstream ("http://127.0.0.1:3000"), answering for host ("127.0.0.1"). Neither
// is checked here; the file is, when it is loaded.
func Starter(upstream, host string) []byte {
	name, authority := host, host
	if strings.Contains(host, ":") { // an IPv6 address
		name, authority = `"`+host+`"`, "["+host+"]"
	}
	return []byte(strings.NewReplacer("UPSTREAM", upstream, "HOST:8443", authority+":8443", "HOST", name).Replace(starter))
}
