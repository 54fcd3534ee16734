package audit_test

import (
	"os/signal"
	"syscall"
	"testing"
)

// The largest file that this process may write stands for a full disk.

func getLimit(t *testing.T, limit *[2]uint64) {
	t.Helper()
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
		t.Fatal(err)
	}
	*limit = [2]uint64{r.Cur, r.Max}
}

func setLimit(t *testing.T, limit [2]uint64) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit[0], Max: limit[1]}); err != nil {
		t.Fatal(err)
	}
}
