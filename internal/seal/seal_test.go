package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/seal"
)

func newMaster(t testing.TB, fill byte) seal.Master {
	t.Helper()
	m, err := seal.NewMaster(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func wrap(t testing.TB, m seal.Master, use seal.Use, version uint32) seal.Wrapped {
	t.Helper()
	w, err := seal.Wrap(m, use, version)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func first(t testing.TB, m seal.Master) []seal.Wrapped {
	t.Helper()
	return []seal.Wrapped{wrap(t, m, seal.Sealing, 1), wrap(t, m, seal.Hashing, 1)}
}

func openKeys(t testing.TB, m seal.Master, wrapped []seal.Wrapped) *seal.Keys {
	t.Helper()
	k, err := seal.OpenKeys(m, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedValueOpensOnlyInItsPlace(t *testing.T) {
	attacktest.Rows(t, 164)
	m := newMaster(t, 1)
	k := openKeys(t, m, first(t, m))
	plain := []byte("planted-secret")
	sealed := k.Seal("credential", "hmac/a", 3, plain)
	if bytes.Contains(sealed, plain) {
		t.Fatal("it is not sealed")
	}
	if got, err := k.Unseal("credential", "hmac/a", 3, sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%q, %v", got, err)
	}
	if bytes.Equal(sealed, k.Seal("credential", "hmac/a", 3, plain)) {
		t.Error("the same secret is sealed to the same bytes: equal secrets show")
	}
	tests := []struct {
		name, table, id string
		version         int64
		sealed          []byte
	}{
		{"another table", "secret", "hmac/a", 3, sealed},
		{"another id", "credential", "hmac/b", 3, sealed},
		{"names that run together", "credentialh", "mac/a", 3, sealed},
		{"another version", "credential", "hmac/a", 4, sealed},
		{"an older version", "credential", "hmac/a", 2, sealed},
		{"cut short", "credential", "hmac/a", 3, sealed[:len(sealed)-1]},
		{"nothing", "credential", "hmac/a", 3, nil},
		{"another key", "credential", "hmac/a", 3, append([]byte{0, 0, 0, 9}, sealed[4:]...)},
	}
	for i := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		tests = append(tests, struct {
			name, table, id string
			version         int64
			sealed          []byte
		}{fmt.Sprint("byte ", i, " changed"), "credential", "hmac/a", 3, flipped})
	}
	for _, test := range tests {
		if got, err := k.Unseal(test.table, test.id, test.version, test.sealed); !errors.Is(err, seal.ErrTampered) || got != nil {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

func TestTagHoldsOnlyForItsRow(t *testing.T) {
	m := newMaster(t, 1)
	keys := first(t, m)
	k := openKeys(t, m, keys)
	tag := k.Tag("client", "a", 1, []byte("body"))
	if !k.CheckTag(tag[:], "client", "a", 1, []byte("body")) {
		t.Fatal("the tag of a row is wrong")
	}
	for name, ok := range map[string]bool{
		"table":   k.CheckTag(tag[:], "other", "a", 1, []byte("body")),
		"id":      k.CheckTag(tag[:], "client", "b", 1, []byte("body")),
		"version": k.CheckTag(tag[:], "client", "a", 2, []byte("body")),
		"body":    k.CheckTag(tag[:], "client", "a", 1, []byte("bodx")),
		"no body": k.CheckTag(tag[:], "client", "a", 1, nil),
		"length":  k.CheckTag(tag[1:], "client", "a", 1, []byte("body")),
		"no tag":  k.CheckTag(nil, "client", "a", 1, []byte("body")),
	} {
		if ok {
			t.Errorf("it holds for another %s", name)
		}
	}
	// Sealing, tagging and fingerprints use keys of their own.
	other := openKeys(t, m, append(keys, wrap(t, m, seal.Sealing, 2)))
	if again := other.Tag("client", "a", 1, []byte("body")); again == tag {
		t.Error("a newer key makes the same tag")
	}
	if !other.CheckTag(tag[:], "client", "a", 1, []byte("body")) {
		t.Error("the tag of an older key does not hold any more")
	}
	if k.Fingerprint("t", "a", 1, nil) != other.Fingerprint("t", "a", 1, nil) {
		t.Error("fingerprints changed with the keys")
	}
}

func TestHashesAreKeyedAndOutliveRotation(t *testing.T) {
	m := newMaster(t, 1)
	keys := first(t, m)
	k := openKeys(t, m, keys)
	digest := k.Hash([]byte("key"))
	if !k.Match(digest, []byte("key")) || k.Match(digest, []byte("kez")) || k.Match(digest, nil) || k.Match(seal.Digest{Version: 9, Sum: digest.Sum}, []byte("key")) {
		t.Error("Match does not tell the right secret from wrong ones")
	}
	if openKeys(t, m, first(t, m)).Match(digest, []byte("key")) {
		t.Error("the hash does not depend on the key")
	}
	later, err := k.With(m, []seal.Wrapped{wrap(t, m, seal.Hashing, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if !later.Match(digest, []byte("key")) || later.Hash([]byte("key")).Version != 2 || k.Newest(seal.Hashing) != 1 {
		t.Error("rotation broke an older hash, or changed the keys that others hold")
	}
	var versions []uint32
	later.Hashes([]byte("key"), func(d seal.Digest) bool { versions = append(versions, d.Version); return false })
	if fmt.Sprint(versions) != "[2 1]" {
		t.Errorf("hashes under %v, want the newest first", versions)
	}
}

func TestDigestAsText(t *testing.T) {
	m := newMaster(t, 1)
	digest := openKeys(t, m, first(t, m)).Hash([]byte("key"))
	text, err := json.Marshal(digest)
	if err != nil {
		t.Fatal(err)
	}
	var again seal.Digest
	if err := json.Unmarshal(text, &again); err != nil || again != digest {
		t.Errorf("%s became %v, %v", text, again, err)
	}
	for _, bad := range []string{"", ":", "1", "1:", "-1:" + strings.Repeat("0", 64), "1:" + strings.Repeat("g", 64), "1:" + strings.Repeat("0", 65), "4294967296:" + strings.Repeat("0", 64)} {
		if err := new(seal.Digest).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzDigest(f *testing.F) {
	f.Add("1:" + strings.Repeat("0a", 32))
	f.Fuzz(func(t *testing.T, text string) {
		var d, again seal.Digest
		if d.UnmarshalText([]byte(text)) != nil {
			return
		}
		written, err := d.MarshalText()
		if err != nil || again.UnmarshalText(written) != nil || again != d {
			t.Errorf("%q became %q", text, written)
		}
	})
}

func TestWrongMasterKeyIsToldApartFromDamage(t *testing.T) {
	m := newMaster(t, 1)
	keys := first(t, m)
	if _, err := seal.OpenKeys(newMaster(t, 2), keys); !errors.Is(err, seal.ErrWrongKey) || !strings.Contains(err.Error(), "use the key file") {
		t.Errorf("another master key: %v", err)
	}
	damaged := keys[0]
	damaged.Key = bytes.Clone(damaged.Key)
	damaged.Key[20] ^= 1
	renamed, relabelled := keys[0], keys[0]
	renamed.Version, relabelled.Master = 2, newMaster(t, 2).ID()
	for name, test := range map[string]struct {
		wrapped []seal.Wrapped
		want    error
	}{
		"a damaged key":               {[]seal.Wrapped{damaged, keys[1]}, seal.ErrTampered},
		"a key under another version": {[]seal.Wrapped{keys[0], keys[1], renamed}, seal.ErrTampered},
		"a key that names another":    {[]seal.Wrapped{relabelled, keys[1]}, seal.ErrWrongKey},
		"no hashing key":              {keys[:1], seal.ErrTampered},
		"no sealing key":              {keys[1:], seal.ErrTampered},
		"none":                        {nil, seal.ErrTampered},
	} {
		if _, err := seal.OpenKeys(m, test.wrapped); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := seal.OpenKeys(m, []seal.Wrapped{keys[0], keys[1], {Use: "other", Version: 1, Master: m.ID()}}); err == nil {
		t.Error("a key of an unknown use was taken")
	}
}

func TestRewrappedKeysAreTheSame(t *testing.T) {
	from, to := newMaster(t, 1), newMaster(t, 2)
	keys := first(t, from)
	before := openKeys(t, from, keys)
	var moved []seal.Wrapped
	for _, w := range keys {
		next, err := seal.Rewrap(from, to, w)
		if err != nil {
			t.Fatal(err)
		}
		moved = append(moved, next)
	}
	after := openKeys(t, to, moved)
	if !after.Match(before.Hash([]byte("key")), []byte("key")) {
		t.Error("a hash does not match any more")
	}
	if got, err := after.Unseal("t", "a", 1, before.Seal("t", "a", 1, []byte("x"))); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := seal.OpenKeys(from, moved); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("the old master key still opens them: %v", err)
	}
	if _, err := seal.Rewrap(to, from, keys[0]); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("wrapped again from a wrong master key: %v", err)
	}
}

func TestMasterPrintsNothing(t *testing.T) {
	m := newMaster(t, 'k')
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if printed := fmt.Sprintf(verb, m); strings.Contains(printed, "kkkk") || strings.Contains(printed, "6b6b6b") || strings.Contains(printed, "107, 107") {
			t.Errorf("%s prints %s", verb, printed)
		}
	}
	if m.ID() == "" || m.ID() != newMaster(t, 'k').ID() || m.ID() == newMaster(t, 'l').ID() {
		t.Errorf("id %q", m.ID())
	}
}

func TestKeyFileIsMadeOnceAndForItsOwner(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys", "pavise.key")
	m, err := seal.CreateMaster(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 || !seal.Exists(name) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := seal.ReadMaster(name); err != nil || again.ID() != m.ID() {
		t.Errorf("read again: %s, %v", again.ID(), err)
	}
	before, err := os.ReadFile(name)
	if err != nil || !bytes.HasPrefix(before, []byte("# Pavise master key "+m.ID())) {
		t.Errorf("it begins with %.40q, %v", before, err)
	}
	if _, err := seal.CreateMaster(name); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it was replaced: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 1 {
		t.Errorf("%d files beside it, %v", len(entries), err)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	const good = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"good", "# comment\n\n" + good + "\n", 0o600, ""},
		{"good and read-only", good, 0o400, ""},
		{"readable by a group", good, 0o640, "chmod 600"},
		{"readable by all", good, 0o604, "chmod 600"},
		{"writable by others", good, 0o602, "chmod 600"},
		{"empty", "", 0o600, "no key in it"},
		{"only comments", "# nothing\n", 0o600, "no key in it"},
		{"too short", "AAEC", 0o600, "32 bytes"},
		{"too long", good + good, 0o600, "32 bytes"},
		{"two keys", good + "\n" + good, 0o600, "more than one"},
		{"no base64", "planted secret that is no base64!!!!!!!!!!!!", 0o600, "32 bytes"},
		{"trailing bits", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", 0o600, "32 bytes"},
		{"a large file", strings.Repeat("#\n", 3000), 0o600, "longer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(name, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(name, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := seal.ReadMaster(name)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), name)):
				t.Errorf("%v, want the file and %q", err, test.want)
			case err != nil && (strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), good)):
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	folder := t.TempDir()
	if _, err := seal.ReadMaster(folder); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := seal.ReadMaster(filepath.Join(folder, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte("# c\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"))
	name := filepath.Join(f.TempDir(), "key")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := seal.ReadMaster(name)
		if (err == nil) != (m.ID() != "") {
			t.Errorf("%q: %q, %v", text, m.ID(), err)
		}
	})
}

func TestMasterKeyFromACommand(t *testing.T) {
	const good = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	tests := []struct {
		name string
		argv []string
		want string
	}{
		{"good", []string{"printf", "%s\\n", good}, ""},
		{"nothing given", nil, "empty"},
		{"no such program", []string{"/nonexistent/program"}, "run it by hand"},
		{"it fails", []string{"sh", "-c", "echo planted; echo planted >&2; exit 3"}, "exit status 3"},
		{"it prints too much", []string{"sh", "-c", "yes planted"}, "alone"},
		{"it prints no key", []string{"echo", "planted"}, "32 bytes"},
		{"its child keeps the output open", []string{"sh", "-c", "sleep 5 & echo planted"}, "master key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := seal.RunMaster(t.Context(), test.argv...)
			switch {
			case test.want == "" && (err != nil || m.ID() == ""):
				t.Errorf("refused: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %q", err, test.want)
			case err != nil && strings.Contains(strings.ReplaceAll(err.Error(), strings.Join(test.argv, " "), ""), "planted"):
				t.Errorf("the error shows what it printed: %v", err)
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	m := newMaster(b, 1)
	k := openKeys(b, m, first(b, m))
	material := []byte("pv_live_0123456789abcdef_0123456789abcdef0123456789abcdef")
	digest := k.Hash(material)
	b.ReportAllocs()
	for b.Loop() {
		if !k.Match(digest, material) {
			b.Fatal("no match")
		}
	}
}

func BenchmarkTag(b *testing.B) {
	m := newMaster(b, 1)
	k := openKeys(b, m, first(b, m))
	body := make([]byte, 500)
	b.ReportAllocs()
	for b.Loop() {
		_ = k.Tag("credential", "api_key/0123456789abcdef", 1, body)
	}
}
