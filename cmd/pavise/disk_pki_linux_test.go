package main

import (
	"strings"
	"testing"
)

// On a full disk nothing is handed out without its record, the error says so, and everything
// goes on when there is room again.
func TestAuthorityOnADiskThatFillsUp(t *testing.T) {
	out := aboard(t, "300m", `
pavise init --upstream http://127.0.0.1:3000 >/dev/null
mkdir /dev/shm/pavise-test-$$; away=/dev/shm/pavise-test-$$; trap 'rm -r $away' EXIT
pavise ca init
pavise cert issue web --out $away/first.pem
dd if=/dev/zero of=ballast bs=4k 2>/dev/null || true
for n in 1 2 3; do
  if said=$(pavise cert issue web --out $away/full$n.pem 2>&1); then
    echo "issued on a full disk"; exit 1
  else test $? -le 3; echo "$said"; fi
  test ! -e $away/full$n.pem; test ! -e $away/full$n-key.pem
done
if pavise ca rotate >/dev/null 2>&1; then echo "rotated on a full disk"; exit 1; fi
rm ballast
pavise cert show $away/first.pem
pavise cert list --all
pavise ca show
pavise cert issue web --out $away/second.pem
pavise cert renew $away/first.pem
pavise ca rotate
pavise log verify`)
	for _, want := range []string{"disk", "state       in force", "second.pem with its key", "first.pem with its key", "issuing  retired", "the log is whole"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing of %q in\n%s", want, out)
		}
	}
}
