// Package learn proposes a configuration from what is there already: the event log of a gateway
// that has watched for a while, or the files of an nginx. What it finds out becomes answers for
// package advise; what it cannot find out it tells.
//
//	nginx.go   what nginx's files say: hosts, paths, upstreams, limits, who is asked
//	gaps.go    what such files leave open
//	log.go     what the events tell: who called what, and how often
//	paths.go   endpoints with parameters, from paths
//	rates.go   how often one caller calls in a minute
//	contract.go an OpenAPI document of what was called
//
// Learnt is from accepted requests alone: what was refused, and what the service did not know, is
// counted, so that an intruder's tries become no endpoints.
package learn

import (
	"pavise.dev/pavise/internal/advise"
)

// Proposal is what was learnt.
type Proposal struct {
	Plans    []*advise.Plan // one for each API
	Contract []byte         // an OpenAPI document of what was called; nil: there is none
	Seen     []Seen         // what was measured, endpoint by endpoint; nil: nothing was
	Open     []Gap          // what is left open, or could not be taken over
}

// Gap is something that is left open: by the file that was read, or by what could be learnt.
type Gap struct {
	Rule  string `json:"rule"`
	Where string `json:"where"` // file:line, or an endpoint
	What  string `json:"what"`
	Do    string `json:"do"`
}

// Seen is what was measured of one endpoint.
type Seen struct {
	Endpoint string `json:"endpoint"`
	Requests int    `json:"requests"`
	Callers  int    `json:"callers"`  // different ones, counted exactly up to 256
	Shields  string `json:"shields"`  // that proved them
	Busiest  int    `json:"busiest"`  // requests of one caller within a minute: 99 of 100 minutes had no more
	Proposed string `json:"proposed"` // the limit
}
