package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/secret"
)

func TestValueCannotBePrinted(t *testing.T) {
	type holder struct {
		Shown  secret.Value
		hidden secret.Value
	}
	v := secret.New([]byte("planted"))
	h := &holder{Shown: v, hidden: v}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v, "h", h)
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(encoded) + fmt.Sprintf("%v %+v %#v %s %q %x %d %v %+v %#v", v, v, v, v, v, v, v, h, *h, *h)
	for _, form := range []string{"planted", "706c616e746564", "112 108 97"} {
		if strings.Contains(all, form) {
			t.Errorf("printed as %q in %s", form, all)
		}
	}
	if string(h.hidden.Reveal()) != "planted" {
		t.Error("Reveal does not give the secret")
	}
}

func TestValueComparesByContent(t *testing.T) {
	v := secret.New([]byte("a"))
	if !v.Equal([]byte("a")) || v.Equal([]byte("b")) || v.Equal(nil) {
		t.Error("Equal does not compare the bytes")
	}
	if !(secret.Value{}).Empty() || v.Empty() {
		t.Error("Empty is wrong")
	}
}
