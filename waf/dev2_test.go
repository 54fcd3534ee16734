package waf

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
)

func TestDevBenign(t *testing.T) {
	name := os.Getenv("BENIGN")
	if name == "" {
		t.Skip()
	}
	l, _ := New(Options{})
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 10<<20)
	n, hits := 0, map[string]int{}
	for sc.Scan() {
		s := strings.ReplaceAll(sc.Text(), "\x01", "\n")
		n++
		if d := l.find(s, Place{In: "body"}); d != "" {
			hits[d]++
			if hits[d] <= 25 {
				fmt.Printf("%s\t%.260q\n", d, s)
			}
		}
	}
	var names []string
	total := 0
	for d, c := range hits {
		names = append(names, fmt.Sprintf("%s=%d", d, c))
		total += c
	}
	sort.Strings(names)
	fmt.Printf("%d texts, %d refused (%.2f per 1000) %v\n", n, total, float64(total)*1000/float64(n), names)
}
