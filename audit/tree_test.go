package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// grown is a tree of n leaves in files of a folder, with the same in the tool of others.
func grown(t testing.TB, n uint64) (files *hashes, roots []Hash, other memoryTree) {
	t.Helper()
	dir := t.TempDir()
	made := newTree(dir, frontier{})
	roots = append(roots, Hash(made.ahead.root()))
	for i := range n {
		form := appendForm(nil, i+1, i+7, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
		made.add(form)
		roots = append(roots, Hash(made.ahead.root()))
		stored, err := tlog.StoredHashes(int64(i), form, other)
		if err != nil {
			t.Fatal(err)
		}
		other = append(other, stored...)
		if i%100 == 99 {
			if err := made.write(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := made.write(); err != nil {
		t.Fatal(err)
	}
	if err := made.close(); err != nil {
		t.Fatal(err)
	}
	files = &hashes{dir: dir}
	t.Cleanup(files.close)
	return files, roots, other
}

// memoryTree is how golang.org/x/mod/sumdb/tlog keeps hashes.
type memoryTree []tlog.Hash

func (m memoryTree) ReadHashes(indexes []int64) (found []tlog.Hash, err error) {
	for _, i := range indexes {
		found = append(found, m[i])
	}
	return found, nil
}

// sizes that are remarkable: around powers of two, and of files.
func sizes(n uint64) (some []uint64) {
	for i := uint64(0); i <= n; i++ {
		if i < 20 || i&(i-1) == 0 || i%256 < 2 || i%97 == 0 || i == n {
			some = append(some, i)
		}
	}
	return some
}

func TestTreeIsThatOfRFC9162(t *testing.T) {
	const n = 700
	_, roots, other := grown(t, n)
	for size := uint64(1); size <= n; size++ {
		want, err := tlog.TreeHash(int64(size), other)
		if err != nil || Hash(want) != roots[size] {
			t.Fatalf("root of %d leaves: %v, want %v (%v)", size, roots[size], want, err)
		}
	}
}

func TestProofsAreThoseOfOthersAndNothingElseHolds(t *testing.T) {
	const n = 700
	files, roots, other := grown(t, n)
	for _, size := range sizes(n) {
		edge, err := files.frontier(size)
		if err != nil || Hash(edge.root()) != roots[size] {
			t.Fatalf("the edge at %d: %v", size, err)
		}
		for _, i := range sizes(n) {
			if i < size {
				proveLeaf(t, files, other, i, size, roots)
			}
			if i <= size {
				proveGrowth(t, files, other, i, size, roots)
			}
		}
	}
}

func proveLeaf(t *testing.T, files *hashes, other memoryTree, i, size uint64, roots []Hash) {
	t.Helper()
	proof, err := files.inclusion(i, size)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tlog.ProveRecord(int64(size), int64(i), other)
	if err != nil || fmt.Sprint(theirs(proof)) != fmt.Sprint([]tlog.Hash(want)) {
		t.Fatalf("leaf %d of %d: %v, want %v, %v", i, size, proof, want, err)
	}
	leaf := Hash(other[tlog.StoredHashIndex(0, int64(i))])
	if err := CheckInclusion(proof, leaf, i, size, roots[size]); err != nil {
		t.Fatalf("leaf %d of %d: %v", i, size, err)
	}
	wrong := leaf
	wrong[3] ^= 1
	for name, err := range map[string]error{
		"another leaf": CheckInclusion(proof, wrong, i, size, roots[size]), "another root": CheckInclusion(proof, leaf, i, size, wrong),
		"another place": CheckInclusion(proof, leaf, i^1, size, roots[size]), "longer": CheckInclusion(append(proof[:len(proof):len(proof)], leaf), leaf, i, size, roots[size]),
		"beyond": CheckInclusion(proof, leaf, size, size, roots[size]),
	} {
		if err == nil && (size > 1 || name != "another place") {
			t.Errorf("leaf %d of %d: %s is taken", i, size, name)
		}
	}
}

func proveGrowth(t *testing.T, files *hashes, other memoryTree, m, n uint64, roots []Hash) {
	t.Helper()
	proof, err := files.consistency(m, n)
	if err != nil {
		t.Fatal(err)
	}
	if m > 0 {
		want, err := tlog.ProveTree(int64(n), int64(m), other)
		if err != nil || fmt.Sprint(theirs(proof)) != fmt.Sprint([]tlog.Hash(want)) {
			t.Fatalf("%d of %d: %v, want %v, %v", m, n, proof, want, err)
		}
	}
	if err := CheckConsistency(proof, m, n, roots[m], roots[n]); err != nil {
		t.Fatalf("%d of %d: %v", m, n, err)
	}
	wrong := roots[m]
	wrong[5] ^= 1
	if CheckConsistency(proof, m, n, wrong, roots[n]) == nil || CheckConsistency(append(proof[:len(proof):len(proof)], wrong), m, n, roots[m], roots[n]) == nil {
		t.Errorf("%d of %d: a wrong one is taken", m, n)
	}
	if m > 0 && CheckConsistency(proof, m, n, roots[m], wrong) == nil || CheckConsistency(proof, n+1, n, roots[n], roots[n]) == nil {
		t.Errorf("%d of %d: a wrong one is taken", m, n)
	}
}

func theirs(p Proof) (out []tlog.Hash) {
	for _, h := range p {
		out = append(out, tlog.Hash(h))
	}
	return out
}

// A checkpoint is a signed note to tools that know nothing of us.
func TestCheckpointIsASignedNote(t *testing.T) {
	sign := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	public, _ := sign.Public().(ed25519.PublicKey)
	point := signCheckpoint("gw1.example.com", head{seq: 1000, mac: [macSize]byte{1}}, hashValue{9}, time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC), sign)
	text, err := point.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(VerifierKey("gw1.example.com", public))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != "gw1.example.com" || lines[1] != "1000" || lines[2] != base64.StdEncoding.EncodeToString(point.Root[:]) {
		t.Errorf("text %q", opened.Text)
	}

	// A witness signs it too, and it is still ours.
	key, _, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{5}, 64)), "witness.example.com/w1")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := note.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(opened, witness)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{text, signed} {
		var read Checkpoint
		if err := read.UnmarshalText(text); err != nil || !read.Signed(public) || read.Seq != 1000 || read.Time != point.Time || read.Mac != point.Mac {
			t.Errorf("read %+v: %v\n%s", read, err, text)
		}
		other, _ := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
		if read.Signed(other) {
			t.Error("signed by anybody")
		}
	}
	name, again, err := ParseVerifierKey(VerifierKey("gw1.example.com", public))
	if err != nil || name != "gw1.example.com" || !again.Equal(public) {
		t.Errorf("%q %v %v", name, again, err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	sign := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	point := signCheckpoint("n", head{seq: 3}, hashValue{}, time.Unix(1_800_000_000, 0), sign)
	text, _ := point.MarshalText()
	f.Add(text)
	f.Add(bytes.Replace(text, []byte("\n3\n"), []byte("\n03\n"), 1))
	f.Add(bytes.Replace(text, []byte("Z\n"), []byte("+01:00\n"), 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c Checkpoint
		if c.UnmarshalText(text) != nil {
			return
		}
		again, err := c.MarshalText()
		if err != nil || !bytes.HasPrefix(text, c.Text()) || !bytes.Contains(text, again[len(c.Text())+1:]) {
			t.Errorf("%q was read, and is written %q", text, again)
		}
	})
}

func FuzzParseVerifierKey(f *testing.F) {
	f.Add(VerifierKey("gw1", make([]byte, 32)))
	f.Add("a+b+c")
	f.Fuzz(func(t *testing.T, text string) {
		if name, key, err := ParseVerifierKey(text); err == nil && VerifierKey(name, key) != text {
			t.Errorf("%q", text)
		}
	})
}

func BenchmarkLineIntoChainAndTree(b *testing.B) {
	o := testOptions(b.TempDir())
	c := &chain{Options: o, mac: newLinker(o.Key), tree: newTree(o.Dir, frontier{})}
	event := []byte(`{"id":"01ARZ3NDEKTSV4RR","time":"2026-11-23T12:00:00.000000Z","class":"request","remote":"192.0.2.7:1234","tls":"1.3","proto":"HTTP/2.0","method":"GET","host":"api.example.com","path":"/v1/orders/12345","query":"page=*","user_agent":"curl/8.5","api":"orders","endpoint":"GET /v1/orders/{id}","shield":"api_key","credential":"k7f3","client":"shop","proved":true,"step":"proxy","decision":"accepted","upstream":"127.0.0.1:9000","status":200,"upstream_status":200,"bytes_out":512,"duration_us":1520,"upstream_us":1200}`)
	b.ReportAllocs()
	for b.Loop() {
		c.add(event, 1)
		if len(c.pending) > 1<<20 {
			c.pending = c.pending[:0]
			for level := range c.tree.pending {
				c.tree.pending[level] = c.tree.pending[level][:0]
			}
		}
	}
}
