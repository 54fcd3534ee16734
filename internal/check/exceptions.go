package check

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
)

func rulesOfExceptions() []rule {
	return []rule{
		says("insecure-in-force", info, "API8 ASVS-15.1.5 REC-API-4", "Weakened on purpose", "Somebody had a reason; whether it still holds, nobody but a person can say.", "take it away when the reason is gone", insecureInForce),
		says("insecure-poor-reason", low, "API8 ASVS-15.1.5 REC-API-4", "A reason that says nothing", "Who reads it later cannot tell whether it still holds: it stays for ever.", "say what would break, for whom, and until when", insecurePoorReason),
		says("insecure-stale", medium, "API8 ASVS-15.2.3 REC-API-4", "A stopgap that stayed", "The reason says that it is for a time, and the time is over.", "take it away, or say why it stays", insecureStale),
		says("trial-long", medium, "API8 ASVS-15.2.3 REC-API-13", "A trial that does not end", "What the layer would refuse goes through for so long: it is written down, and protects nobody.", "two weeks are enough to see what it would refuse (pavise review --would-block)", trialLong),
		says("trial-over", low, "API8 ASVS-15.2.3 REC-API-4", "A trial that is over", "The layer refuses again; what stands there misleads who reads it.", "take the entry out", trialOver),
		says("door-open", medium, "API8 ASVS-1.1.1 REC-API-13", "The door lets through what readers read differently", "Slashes in escapes and semicolons are read as one thing here and as another behind: a path that is closed is reached by writing it otherwise.", "teach the service, and take insecure_allow away", doorOpen),
		says("headers-kept", medium, "API2 ASVS-4.1.3 REC-API-11", "Callers may say who they are", "The header is one that services take for an identity, an address or another method.", "take insecure_keep_headers away", headersKept),
		says("keys-from-browsers", medium, "API2 ASVS-10.1.1 REC-API-11", "Keys that everybody may read", "A key that a browser sends stands in the page.", "tokens of people (jwt) where browsers call", keysFromBrowsers),
		says("revocation-optional", medium, "API2 ASVS-12.1.4 REC-API-11", "Revoked certificates are accepted while nobody can be asked", "Who keeps the answers away, keeps his certificate.", "take insecure_soft_fail away", revocationOptional),
		says("undeclared-accepted", low, "API3 ASVS-15.3.3 REC-API-13", "A contract that lets the rest through", "Properties that nobody described reach the service: mass assignment is made of these.", "describe what callers send, and take insecure_undeclared away", undeclaredAccepted),
		says("waiver-long", low, "API9 ASVS-15.1.5 REC-API-4", "A waiver for more than a year", "It outlives the person who knew why.", "half a year; then look again", waiverLong),
		says("waiver-over", medium, "API9 ASVS-15.1.5 REC-API-4", "A waiver that is over", "What it waived counts again.", "mend what was waived, or give a new day and say why", nil),
		says("waiver-unused", info, "API9 ASVS-15.1.5 REC-API-4", "A waiver that waives nothing", "What was waived is mended, or stands elsewhere.", "take it out", nil),
		says("waiver-invalid", high, "API9 ASVS-15.1.5 REC-API-4", "A waiver that cannot work", "It waives nothing.", "write {rule: NAME, reason: at least ten characters, until: 2027-01-31}", nil),
	}
}

// written is when the file that holds a setting was last changed.
func (l *look) written(pos config.Pos) (time.Time, bool) {
	info, err := os.Stat(l.File.Abs(pos.File))
	if err != nil {
		info, err = os.Stat(l.File.Path)
	}
	if err != nil {
		return time.Time{}, false
	}
	return info.ModTime(), true
}

func insecureInForce(l *look) {
	for _, w := range l.File.Insecure() {
		age := ""
		if at, ok := l.written(w.Pos); ok && l.Now.Sub(at) >= day {
			age = ", for " + days(l.Now.Sub(at)) + " at least"
		}
		l.found(w.Path, "%s%s: %s", w.What, age, w.Reason)
	}
}

func insecurePoorReason(l *look) {
	for _, w := range l.File.Insecure() {
		lower := strings.ToLower(w.Reason)
		for _, word := range []string{"todo", "fixme", "asap", "because i said", "just because", "no reason", "does not work", "doesn't work", "make it work", "whatever", "lorem", "asdf", "xxx", "testing testing", "reason reason"} {
			if strings.Contains(lower, word) {
				l.found(w.Path, "%s: %s", w.What, w.Reason)
				break
			}
		}
	}
}

var yearOrDay = regexp.MustCompile(`\b(20[0-9]{2})(-[0-9]{2}-[0-9]{2})?\b`)

// insecureStale looks at reasons that name a time: a day or year that is over, or that they are
// for now, in a file that nobody has touched for half a year.
func insecureStale(l *look) {
	for _, w := range l.File.Insecure() {
		lower := strings.ToLower(w.Reason)
		if m := yearOrDay.FindString(lower); m != "" {
			end, err := time.Parse(time.DateOnly, m)
			if year, fault := strconv.Atoi(m); fault == nil {
				end, err = time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC), nil
			}
			if err == nil && l.Now.After(end.AddDate(0, 0, 1)) {
				l.found(w.Path, "%s: %s", w.What, w.Reason)
			}
			continue
		}
		at, ok := l.written(w.Pos)
		if !ok || l.Now.Sub(at) < 180*day {
			continue
		}
		for _, word := range []string{"temporar", "for now", "until", " yet", "interim", "migration", "workaround", "stopgap"} {
			if strings.Contains(lower, word) {
				l.found(w.Path, "%s, for %s at least: %s", w.What, days(l.Now.Sub(at)), w.Reason)
				break
			}
		}
	}
}

// trials visits what is only recorded, where it is written.
func (l *look) trials(visit func(path, what, until string)) {
	of := func(path string, all []config.Trial) {
		for i, t := range all {
			visit(fmt.Sprintf("%s.insecure_report_only.%d", path, i), t.What, t.Until)
		}
	}
	for _, name := range sorted(l.File.APIs) {
		api := l.File.APIs[name]
		of("apis."+name, api.Trials)
		for _, pattern := range sorted(api.Endpoints) {
			of("apis."+name+".endpoints."+pattern, api.Endpoints[pattern].Trials)
		}
	}
}

func trialLong(l *look) {
	l.trials(func(path, what, until string) {
		if end, err := time.Parse(time.DateOnly, until); err == nil && end.Sub(l.Now) > 90*day {
			l.found(path, "%s is only recorded until %s", what, until)
		}
	})
}

func trialOver(l *look) {
	l.trials(func(path, what, until string) {
		if end, err := time.Parse(time.DateOnly, until); err == nil && l.Now.After(end.AddDate(0, 0, 1)) {
			l.found(path, "the trial of %s ended with %s", what, until)
		}
	})
}

func doorOpen(l *look) {
	for _, name := range sorted(l.File.APIs) {
		for i, a := range l.File.APIs[name].Allow {
			if a.What == "encoded_slash" || a.What == "semicolon" {
				l.found(fmt.Sprintf("apis.%s.insecure_allow.%d", name, i), "%s is let through: %s", a.What, a.Reason)
			}
		}
	}
}

func headersKept(l *look) {
	for _, name := range sorted(l.File.APIs) {
		for i, kept := range l.File.APIs[name].Upstream.KeepHeaders {
			l.found(fmt.Sprintf("apis.%s.upstream.insecure_keep_headers.%d", name, i), "%s is kept: %s", kept.What, kept.Reason)
		}
	}
}

// insecure visits what is weakened by settings of a name.
func (l *look) insecure(name string, visit func(w config.Weakness)) {
	for _, w := range l.File.Insecure() {
		if strings.Contains(w.Path, name) {
			visit(w)
		}
	}
}

func keysFromBrowsers(l *look) {
	l.insecure("insecure_allow_browsers", func(w config.Weakness) { l.found(w.Path, "%s", w.Reason) })
}

func revocationOptional(l *look) {
	l.insecure("insecure_soft_fail", func(w config.Weakness) { l.found(w.Path, "%s", w.Reason) })
}

func undeclaredAccepted(l *look) {
	l.insecure("insecure_undeclared", func(w config.Weakness) { l.found(w.Path, "%s", w.Reason) })
}

func waiverLong(l *look) {
	all := slices.Clone(l.Waivers)
	for i, w := range l.File.Waivers {
		if end, err := time.Parse(time.DateOnly, w.Until); err == nil && end.Sub(l.Now) > 366*day {
			l.found(fmt.Sprintf("waivers.%d", i), "%s is waived until %s", w.Rule, w.Until)
		}
	}
	for _, w := range all {
		if end, err := time.Parse(time.DateOnly, w.Until); err == nil && end.Sub(l.Now) > 366*day {
			l.add(w.At, "%s is waived until %s", w.Rule, w.Until)
		}
	}
}

// rateOf is how much a rate allows in a minute.
func rateOf(text string) (float64, bool) {
	rate, err := limit.ParseRate(text)
	return perMinute(rate), err == nil
}
