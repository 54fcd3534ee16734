package check

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"pavise.dev/pavise/internal/check/leaks"
	"pavise.dev/pavise/internal/config"
)

func rulesOfSecrets() []rule {
	return []rule{
		says("secret-short", high, "API2 ASVS-11.5.1 ASVS-13.2.3 REC-API-11", "A secret that can be guessed", "So few, or so regular characters are tried through: whoever finds it out speaks in the gateway's name, or signs what it is said to have sent.", "make one of 32 random bytes: openssl rand -base64 32", secretShort),
		says("secret-made-up", high, "API2 ASVS-13.2.3 REC-API-11", "A secret from an example", "Words like changeme are tried first.", "make one of 32 random bytes: openssl rand -base64 32", secretMadeUp),
		says("secret-reused", medium, "API2 ASVS-13.3.2 REC-API-11", "One secret for two purposes", "Whoever is given it for the one has the other too, and neither can be changed alone.", "make one for each", secretReused),
		says("secret-old", low, "API2 ASVS-13.3.4 REC-API-11", "A secret that was never changed", "It has been in backups, terminals and heads of people who left.", "make a new one, and change it each year", secretOld),
		says("secret-file-open", high, "API2 ASVS-13.3.2 CWE-732 REC-API-11", "A secret that every user of the machine can read", "Any program on the machine, also one that was broken into, reads it.", "chmod 600, owned by the user that runs Pavise", secretFileOpen),
		says("key-file-open", high, "API2 ASVS-13.3.2 CWE-732 REC-API-9", "A private key that every user of the machine can read", "Any program on the machine can pretend to be the host, or to be the gateway.", "chmod 600, owned by the user that runs Pavise", keyFileOpen),
		says("master-key-open", high, "API2 ASVS-13.3.2 CWE-732 REC-API-11", "A master key that other users can read", "It opens every sealed secret of the store.", "chmod 600, owned by the user that runs Pavise", masterKeyOpen),
		says("master-key-near-data", info, "API2 ASVS-13.3.1 REC-API-11", "The master key lies beside the data", "Whoever copies the folder above both, a backup too, has the secrets and what opens them.", "keep it elsewhere, or in a key store: state.master_key_command", masterKeyNearData),
		says("config-writable", high, "API8 ASVS-13.3.2 CWE-732 REC-API-4", "A configuration that others can change", "Whoever can write it opens every door, at the next reload.", "chmod go-w", configWritable),
		says("state-open", high, "API8 ASVS-16.4.2 CWE-732 REC-API-4", "A data folder that others can enter", "Clients, credentials and events can be read, copied or put back.", "chmod 700", stateOpen),
		says("log-open", medium, "API8 ASVS-16.4.2 CWE-732 REC-API-18", "An event log that others can read", "It tells who called what and when, of everybody.", "chmod 700; give readers a sink of their own", logOpen),
		says("secret-in-config", high, "API8 ASVS-13.3.1 CWE-798 REC-API-11", "A secret in the configuration", "The file is shown, sent around and kept in repositories, and the secret with it.", "revoke it; put the new one into a file that the setting names", secretInConfig),
	}
}

// secretFile is a file with a secret that somebody else made.
type secretFile struct {
	path, name string // the setting, and the file
	text       string
}

// maxSecret bounds what is read of a file with a secret.
const maxSecret = 16 << 10

// readFile reads a file of bounded length.
func readFile(name string) (text []byte, err error) {
	const most = 16 << 20
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return io.ReadAll(io.LimitReader(file, most))
}

// readSecrets reads the secrets that settings name.
func (l *look) readSecrets() (all []secretFile) {
	add := func(path, name string) {
		if name == "" {
			return
		}
		if text, err := readFile(l.File.Abs(name)); err == nil && len(text) <= maxSecret {
			all = append(all, secretFile{path, name, strings.TrimSpace(string(text))})
		}
	}
	for _, name := range sorted(l.File.Issuers) {
		if asked := l.File.Issuers[name].Introspect; asked != nil {
			add("issuers."+name+".introspection.client_secret_file", asked.Secret)
		}
	}
	for _, name := range sorted(l.File.OAuth.SignIn.Providers) {
		add("oauth.sign_in.providers."+name+".client_secret_file", l.File.OAuth.SignIn.Providers[name].Secret)
	}
	for _, name := range sorted(l.File.Log.Sinks) {
		s, path := l.File.Log.Sinks[name], "log.sinks."+name
		switch {
		case s.Splunk != nil:
			add(path+".splunk.token_file", s.Splunk.Token)
		case s.Elastic != nil:
			add(path+".elastic.key_file", s.Elastic.Key)
		case s.Webhook != nil:
			add(path+".webhook.secret_file", s.Webhook.Secret)
			add(path+".webhook.token_file", s.Webhook.Token)
		case s.OTLP != nil:
			add(path+".otlp.token_file", s.OTLP.Token)
		}
	}
	return all
}

// entropy is Shannon's, of a text's characters, in bits altogether: an upper bound of how hard
// it is to guess.
func entropy(text string) float64 {
	counts, n := map[rune]int{}, 0
	for _, r := range text {
		counts[r]++
		n++
	}
	bits := 0.0
	for _, c := range counts {
		p := float64(c) / float64(n)
		bits -= float64(c) * math.Log2(p)
	}
	return bits
}

// repeats reports whether a text is a shorter one several times, or counts up.
func repeats(text string) bool {
	for n := 1; n <= len(text)/2; n++ {
		if len(text)%n == 0 && strings.Repeat(text[:n], len(text)/n) == text {
			return true
		}
	}
	steps := 0
	for i := 1; i < len(text); i++ {
		if d := int(text[i]) - int(text[i-1]); d == 1 || d == -1 || d == 0 {
			steps++
		}
	}
	return len(text) > 1 && steps*4 >= (len(text)-1)*3
}

// Least of a secret: characters, and bits of entropy as they are counted here.
const (
	leastSecret  = 16
	leastEntropy = 48
)

func secretShort(l *look) {
	for _, s := range l.secrets {
		switch n := len([]rune(s.text)); {
		case n < leastSecret:
			l.found(s.path, "%s holds %d characters, want %d at least", s.name, n, leastSecret)
		case repeats(s.text):
			l.found(s.path, "%s holds a pattern that repeats", s.name)
		case entropy(s.text) < leastEntropy:
			l.found(s.path, "%s holds few different characters", s.name)
		}
	}
}

func secretMadeUp(l *look) {
	for _, s := range l.secrets {
		lower := strings.ToLower(s.text)
		for _, word := range []string{"changeme", "change-me", "change_me", "password", "passwort", "example", "placeholder", "secret", "default", "letmein", "qwerty", "replace", "your-", "your_", "dummy", "xxxx", "test1234", "admin"} {
			if strings.Contains(lower, word) {
				l.found(s.path, "%s holds a word that examples have", s.name)
				break
			}
		}
	}
}

func secretReused(l *look) {
	for i, s := range l.secrets {
		for _, other := range l.secrets[:i] {
			if s.text != "" && s.text == other.text && !strings.HasPrefix(s.path, strings.TrimSuffix(other.path, lastOf(other.path))) {
				l.found(s.path, "it is the secret of %s too", other.path)
				break
			}
		}
	}
}

func lastOf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func secretOld(l *look) {
	for _, s := range l.secrets {
		if info, err := os.Stat(l.File.Abs(s.name)); err == nil && l.Now.Sub(info.ModTime()) > 365*day {
			l.found(s.path, "%s was written %s ago", s.name, days(l.Now.Sub(info.ModTime())))
		}
	}
}

// mode returns the permissions of a file or folder; ok is false where there is none, or where
// permissions say nothing.
func mode(name string) (perm os.FileMode, ok bool) {
	info, err := os.Stat(name)
	return modeOf(info), err == nil && runtime.GOOS != "windows"
}

func modeOf(info os.FileInfo) os.FileMode {
	if info == nil {
		return 0
	}
	return info.Mode().Perm()
}

// open is what others than owner and group may do, and what the group may write.
const open os.FileMode = 0o027

func secretFileOpen(l *look) {
	for _, s := range l.secrets {
		if perm, ok := mode(l.File.Abs(s.name)); ok && perm&open != 0 {
			l.found(s.path, "%s has the permissions %04o", s.name, perm)
		}
	}
}

func keyFileOpen(l *look) {
	keys := map[string]string{}
	for _, name := range sorted(l.File.Hosts) {
		if c := l.File.Hosts[name].Certificate; c.Source == "files" {
			keys["hosts."+name+".certificate.key"] = c.Key
		}
	}
	for _, c := range l.chains {
		if c.withKey {
			keys[c.path] = c.name
		}
	}
	for _, path := range sorted(keys) {
		if perm, ok := mode(l.File.Abs(keys[path])); ok && perm&open != 0 {
			l.found(path, "%s has the permissions %04o", keys[path], perm)
		}
	}
}

func masterKeyOpen(l *look) {
	if perm, ok := mode(l.File.State.MasterKey); ok && perm&0o077 != 0 {
		l.found("state.master_key", "%s has the permissions %04o", l.File.State.MasterKey, perm)
	}
}

func masterKeyNearData(l *look) {
	s := l.File.State
	if len(s.KeyCommand) == 0 && filepath.Dir(s.MasterKey) == filepath.Dir(s.Folder) {
		l.found("state.master_key", "%s and the data folder lie in one folder", filepath.Base(s.MasterKey))
	}
}

func configWritable(l *look) {
	for _, name := range l.File.Paths {
		if perm, ok := mode(name); ok && perm&0o022 != 0 {
			l.found("", "%s has the permissions %04o", name, perm)
		}
	}
}

func stateOpen(l *look) {
	if perm, ok := mode(l.File.State.Folder); ok && perm&0o077 != 0 {
		l.found("state.folder", "%s has the permissions %04o", l.File.State.Folder, perm)
	}
}

func logOpen(l *look) {
	if perm, ok := mode(l.File.Log.Folder); ok && perm&0o027 != 0 {
		l.found("log.folder", "%s has the permissions %04o", l.File.Log.Folder, perm)
	}
}

func secretInConfig(l *look) {
	for i, name := range l.File.Paths {
		text, err := readFile(name)
		if err != nil {
			continue
		}
		shown := name
		if i == 0 {
			shown = l.File.Where("").File
		}
		for _, found := range leaks.Scan(text) {
			place := config.Pos{File: shown, Line: found.Line, Column: found.Column}
			l.add(placeOf(place, fmt.Sprintf("line %d of %s", found.Line, filepath.Base(name))), "here stands %s", found.What())
		}
	}
}
