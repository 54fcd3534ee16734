package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// machine is where the figures were measured.
type machine struct {
	Date, CPU, Kernel, Memory, Go string
	Load                          string // averages over 1, 5 and 15 minutes before the run
	Cores                         int
}

func describeMachine() (machine, error) {
	m := machine{Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), Cores: runtime.NumCPU(), Go: runtime.Version()}
	if m.Cores < 2 {
		return m, fmt.Errorf("want two cores: one for the gateway, one for the load; there is %d", m.Cores)
	}
	for name, into := range map[string]*string{"/proc/cpuinfo": &m.CPU, "/proc/meminfo": &m.Memory, "/proc/sys/kernel/osrelease": &m.Kernel, "/proc/loadavg": &m.Load} {
		text, err := os.ReadFile(name)
		if err != nil {
			return m, fmt.Errorf("describe the machine: %w", err)
		}
		*into = strings.TrimSpace(string(text))
	}
	if words := strings.Fields(m.Load); len(words) > 3 {
		m.Load = strings.Join(words[:3], ", ")
	}
	m.CPU, m.Memory = valueOf(m.CPU, "model name"), valueOf(m.Memory, "MemTotal")
	return m, nil
}

// valueOf returns what stands behind "name:" in one of the lines of a file of /proc.
func valueOf(text, name string) string {
	for line := range strings.Lines(text) {
		before, after, _ := strings.Cut(line, ":")
		if strings.TrimSpace(before) == name {
			return strings.TrimSpace(after)
		}
	}
	return "unknown"
}
