package shield_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
)

func TestBodyIsHandedOnAsItWasRead(t *testing.T) {
	b := shield.NewBody(io.NopCloser(strings.NewReader("hello")), 5)
	first, err := b.Bytes()
	if err != nil || string(first) != "hello" {
		t.Fatalf("bytes %q, %v", first, err)
	}
	passed, err := io.ReadAll(b)
	if err != nil || string(passed) != "hello" {
		t.Errorf("read %q, %v after Bytes; want the same body", passed, err)
	}
	if !b.Rewind() {
		t.Fatal("a kept body cannot be rewound")
	}
	if again, err := io.ReadAll(b); err != nil || string(again) != "hello" {
		t.Errorf("read %q, %v after Rewind", again, err)
	}
}

func TestBodyOverItsLimitIsRefused(t *testing.T) {
	b := shield.NewBody(io.NopCloser(strings.NewReader("hello!")), 5)
	_, err := b.Bytes()
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok || refusal.Code != shield.TooLarge || refusal.HTTPStatus() != 413 {
		t.Errorf("error %v, want too_large with 413", err)
	}
	if n, err := b.Read(make([]byte, 8)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v of a refused body; want the refusal", n, err)
	}
}

func TestBodyThatNobodyReadStreams(t *testing.T) {
	b := shield.NewBody(io.NopCloser(strings.NewReader(strings.Repeat("x", 100))), 5)
	if passed, err := io.ReadAll(b); err != nil || len(passed) != 100 {
		t.Errorf("streamed %d bytes, %v; want all 100: the limit is for those who keep", len(passed), err)
	}
	if b.Rewind() {
		t.Error("a stream that nobody kept was rewound")
	}
}

func TestABodyIsPeekedAtWithoutBeingTakenAway(t *testing.T) {
	stream := shield.NewBody(io.NopCloser(strings.NewReader(strings.Repeat("xy", 50))), 5)
	for _, n := range []int{3, 1, 8} {
		if head, err := stream.Peek(n); err != nil || string(head) != strings.Repeat("xy", 50)[:n] {
			t.Errorf("peeked at %q, %v", head, err)
		}
	}
	if passed, err := io.ReadAll(stream); err != nil || string(passed) != strings.Repeat("xy", 50) {
		t.Errorf("streamed %q, %v", passed, err)
	}

	kept := shield.NewBody(io.NopCloser(strings.NewReader("hello")), 5)
	if head, err := kept.Peek(100); err != nil || string(head) != "hello" {
		t.Errorf("peeked at %q, %v", head, err)
	}
	if all, err := kept.Bytes(); err != nil || string(all) != "hello" {
		t.Errorf("bytes %q, %v", all, err)
	}
	if head, err := kept.Peek(2); err != nil || string(head) != "he" {
		t.Errorf("peeked at %q, %v after Bytes", head, err)
	}
	long := shield.NewBody(io.NopCloser(strings.NewReader("hello!")), 5)
	if _, err := long.Peek(2); err != nil {
		t.Error(err)
	}
	if _, err := long.Bytes(); err == nil {
		t.Error("a body over its limit is kept, since it was peeked at")
	}
}
