package secret_test

import (
	"bytes"
	"crypto/rand"
	"hash/crc32"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/secret"
)

func TestARandomTextIsChecked(t *testing.T) {
	text, err := secret.RandomText(rand.Reader, 40)
	if err != nil || len(text) != 40 || !secret.IsBase62(text) {
		t.Fatalf("%d characters, %v", len(text), err)
	}
	sum := secret.Checksum(text)
	whole := text + string(sum[:])
	if !secret.IsChecked(whole) || !secret.IsChecked([]byte(whole)) {
		t.Error("a whole text is not taken for one")
	}
	for i := range whole {
		if secret.IsChecked(whole[:i] + "!" + whole[i+1:]) {
			t.Errorf("character %d is changed, and nobody sees it", i)
		}
	}
	if secret.IsChecked("") || secret.IsChecked("abc") || secret.IsBase62("a_b") {
		t.Error("what is none is taken for one")
	}
}

// Bytes from 248 on would make the first characters likelier: they are left out, and others read.
func TestNoCharacterIsLikelier(t *testing.T) {
	if text, err := secret.RandomText(bytes.NewReader([]byte{248, 255, 0, 61}), 2); err != nil || text != "0z" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := secret.RandomText(bytes.NewReader([]byte{248}), 1); err == nil {
		t.Error("no randomness, and no error")
	}
}

// Scanners compute the checksum themselves: it is the standard's CRC-32.
func TestTheChecksumIsTheStandardsCRC32(t *testing.T) {
	for _, body := range []string{"", "a", "123456789", "pvs_live_0123456789ab"} {
		sum, want := secret.Checksum(body), uint64(0)
		for _, c := range sum {
			want = want*62 + uint64(strings.IndexByte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c))
		}
		if standard := crc32.ChecksumIEEE([]byte(body)); want != uint64(standard) {
			t.Errorf("%q: %s is %x, want %x", body, sum, want, standard)
		}
	}
}
