package crs

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

// ruleFiles are the files of the rule set, without what rules would log of the values they match.
type ruleFiles struct{}

// Open implements fs.FS.
func (ruleFiles) Open(name string) (fs.File, error) { return coreruleset.FS.Open(name) }

// ReadFile implements fs.ReadFileFS.
func (ruleFiles) ReadFile(name string) ([]byte, error) {
	text, err := fs.ReadFile(coreruleset.FS, name)
	if err != nil || !strings.HasSuffix(name, ".conf") {
		return text, err
	}
	kept := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("logdata:")) && bytes.HasSuffix(line, []byte(",\\\n")) {
			continue
		}
		kept = append(kept, line...)
	}
	return kept, nil
}

// included are the files of rules that look at requests. Not among them: 905, which lets requests from the own machine
// pass; 911, since the endpoint's pattern names its method; and all that look at answers.
func included() []string {
	return []string{
		"901-INITIALIZATION", "913-SCANNER-DETECTION", "920-PROTOCOL-ENFORCEMENT", "921-PROTOCOL-ATTACK", "922-MULTIPART-ATTACK",
		"930-APPLICATION-ATTACK-LFI", "931-APPLICATION-ATTACK-RFI", "932-APPLICATION-ATTACK-RCE", "933-APPLICATION-ATTACK-PHP",
		"934-APPLICATION-ATTACK-GENERIC", "941-APPLICATION-ATTACK-XSS", "942-APPLICATION-ATTACK-SQLI", "943-APPLICATION-ATTACK-SESSION-FIXATION",
		"944-APPLICATION-ATTACK-JAVA", "949-BLOCKING-EVALUATION", "999-COMMON-EXCEPTIONS-AFTER",
	}
}

func ruleFile(name string) string { return "@owasp_crs/REQUEST-" + name + ".conf" }

// SwitchedOff are the numbers of rules of which a gateway does the work already, or the API's description. README.md says
// which and why.
func SwitchedOff() []int {
	return []int{
		920100, 920160, 920171, 920180, 920181, 920210, 920430, // the edge: grammar, framing, version
		920280, 920290, 920350, // the door: hosts are declared
		920420, 920620, // the contract, and our own reading: media types
		920440, // an endpoint is declared; the end of bob@example.com is no file type
	}
}

// restrictedHeaders are those of the set, without Expect, Content-Encoding and Content-Range, which a gateway deals with.
const restrictedHeaders = "/proxy/ /lock-token/ /if/ /x-http-method-override/ /x-http-method/ /x-method-override/ /x-middleware-subrequest/"

// directives are what the engine is told.
func directives(s Settings) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("SecRuleEngine On")
	line("SecRequestBodyAccess Off") // the layer hands over what it has read
	line("SecResponseBodyAccess Off")
	line("SecAuditEngine Off")
	line("SecRxPreFilter Off") // it loses matches: 932311 and 942220 of the set's own tests
	line("SecArgumentsLimit %d", s.MaxFields)
	line("SecDefaultAction \"phase:1,nolog,noauditlog,pass\"")
	line("SecDefaultAction \"phase:2,nolog,noauditlog,pass\"")
	line("SecAction \"id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version=4250,setvar:tx.early_blocking=1,"+
		"setvar:tx.blocking_paranoia_level=%d,setvar:tx.detection_paranoia_level=%d,setvar:tx.inbound_anomaly_score_threshold=%d,"+
		"setvar:'tx.restricted_headers_basic=%s',setvar:'tx.allowed_request_content_type_charset=|utf-8|'\"",
		s.Paranoia, s.Paranoia, s.Threshold, restrictedHeaders)
	for _, name := range included() {
		line("Include %s", ruleFile(name))
	}
	for _, id := range SwitchedOff() {
		line("SecRuleRemoveById %d", id)
	}
	for _, e := range s.Except {
		if err := e.write(line); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}
