package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// countEvents returns how many requests Pavise's event log has written down, so that
// the page can say that events were on, and not only that they were meant to be.
func countEvents(dir string) (int, error) {
	names, err := filepath.Glob(filepath.Join(dir, "pavise-data", "log", "*.jsonl"))
	if err != nil {
		return 0, fmt.Errorf("look for events: %w", err)
	}
	total := 0
	for _, name := range names {
		n, err := countIn(name)
		if err != nil {
			return 0, fmt.Errorf("count events: %w", err)
		}
		total += n
	}
	return total, nil
}

func countIn(name string) (n int, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte(`"class":"request"`)) {
			n++
		}
	}
	return n, lines.Err()
}
