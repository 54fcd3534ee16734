package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Injection says which injections are looked for.
type Injection struct {
	Detectors Words                `yaml:"detectors" doc:"What is looked for. Default: all of it." enum:"header,jndi,ldap,nosql,script,shell,shellshock,sql,template,traversal,xxe"`
	Level     string               `yaml:"level" doc:"low: only what nothing harmless looks like; high: also what looks like a part of an injection, for endpoints that take no prose." default:"default" enum:"low,default,high"`
	MaxText   Size                 `yaml:"max_text" doc:"Most text of a request that is looked at; a request with more is refused with 413." default:"4MiB" min:"1KiB" max:"256MiB"`
	Except    []InjectionException `yaml:"insecure_except" doc:"Fields whose text is left alone, each with a reason."`
	CRS       *CRS                 `yaml:"crs" doc:"Ask the OWASP Core Rule Set as well, after the detectors. on: at its own defaults. An endpoint whose injection does not speak of it has the API's. Default: not."`
	Off       string               `yaml:"insecure_off" doc:"Why nothing is looked for at this endpoint, although the API says so."`
}

// InjectionException is a field that detectors leave alone.
type InjectionException struct {
	What      string `yaml:"field" doc:"Where it is, and a JSON pointer, as a refusal names it: body /comments/*/text, query /q, header /X-Note. A * stands for any one name, or entry of a list; ** at the end for all below." hint:"write body /comment, query /q, path /0, header /X-Note or cookie /theme" pattern:"^(path|query|header|cookie|body)( (/[^/\\s]*)+)?$" required:"yes"`
	Detectors Words  `yaml:"detectors" doc:"Which detectors. Default: all." enum:"header,jndi,ldap,nosql,script,shell,shellshock,sql,template,traversal,xxe"`
	Reason    string `yaml:"reason" doc:"Why such a text is harmless there, in at least ten characters." min:"10" max:"200" required:"yes"`
}

// SetScalar takes the short form.
func (i *Injection) SetScalar(value string) error {
	if value != "on" {
		return errors.New("write on, or settings; insecure_off says why nothing is looked for")
	}
	return nil
}

// inForce is nil where nothing is looked for.
func (i *Injection) inForce() *Injection {
	if i == nil || i.Off != "" {
		return nil
	}
	return i
}

// checkInjection finds exceptions that cannot hold.
func (r *resolver) checkInjection(path string, i *Injection) {
	if i == nil {
		return
	}
	if i.Off != "" && (len(i.Detectors) > 0 || len(i.Except) > 0 || i.CRS != nil) {
		r.at(path+".insecure_off", "remove one of them", "nothing is looked for, and other settings say what")
	}
	r.checkCRS(path+".crs", i.CRS)
	for n, e := range i.Except {
		own := fmt.Sprintf("%s.insecure_except.%d", path, n)
		if at := strings.Index(e.What, "/**"); at >= 0 && at+len("/**") != len(e.What) {
			r.at(own+".field", "a * stands for one name", "** stands for all that is below, at the end")
		}
		for _, name := range e.Detectors {
			if len(i.Detectors) > 0 && !slices.Contains(i.Detectors, name) {
				r.at(own+".detectors", "remove it there", "the detector %s is not asked at all", name)
			}
		}
	}
}

// Field is where the field of an exception is, and the pointer to it.
func (e *InjectionException) Field() (in, pointer string) {
	in, pointer, _ = strings.Cut(e.What, " ")
	return in, pointer
}
