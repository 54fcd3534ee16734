package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of utime and stime: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usage is what a process and those that it started have used.
type usage struct {
	cpu    time.Duration
	memory int64
}

// usageOf adds up a process and its children, which must not end meanwhile.
func usageOf(pid int) (usage, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return usage{}, fmt.Errorf("look for children of process %d: %w", pid, err)
	}
	total, found := usage{}, false
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it ended
		}
		parent, one, err := parseStat(text)
		if err != nil {
			return usage{}, fmt.Errorf("process %d: %w", id, err)
		}
		if id == pid || parent == pid {
			found = found || id == pid
			total.cpu += one.cpu
			total.memory += one.memory
		}
	}
	if !found {
		return usage{}, fmt.Errorf("process %d has ended", pid)
	}
	return total, nil
}

// parseStat reads /proc/PID/stat (proc(5)).
func parseStat(text []byte) (parent int, u usage, err error) {
	end := bytes.LastIndexByte(text, ')') // the name before it may hold anything
	if end < 0 {
		return 0, u, fmt.Errorf("stat %.40q has no name", text)
	}
	fields := strings.Fields(string(text[end+1:])) // from field 3 on
	const ppid, utime, stime, rss = 4 - 3, 14 - 3, 15 - 3, 24 - 3
	if len(fields) <= rss {
		return 0, u, fmt.Errorf("stat has %d fields", len(fields))
	}
	numbers := map[int]int64{}
	for _, at := range []int{ppid, utime, stime, rss} {
		if numbers[at], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return 0, u, fmt.Errorf("stat: %w", err)
		}
	}
	u.cpu = time.Duration(numbers[utime]+numbers[stime]) * tick
	u.memory = numbers[rss] * int64(os.Getpagesize())
	return int(numbers[ppid]), u, nil
}
