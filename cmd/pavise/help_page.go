package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// helpWidth is how wide a page of help is: what every terminal shows without breaking words.
const helpWidth = 80

// The groups in which the commands stand: by what somebody wants to do.
const (
	groupBegin  = "begin"
	groupCaller = "callers"
	groupStop   = "stop"
	groupSee    = "see"
	groupProve  = "prove"
)

// addGrouped adds the commands in their groups; help lists those without a group last.
func addGrouped(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
	}
	root.AddCommand(commands...)
}

// showHelp writes the page of a command: paragraphs are filled, and what is too long in lists of
// commands and flags goes on below itself. Commands to copy stay on one line.
func showHelp(c *cobra.Command, _ []string) {
	about := c.Long
	if about == "" {
		about = c.Short
	}
	_, _ = fmt.Fprintf(c.OutOrStdout(), "%s\n\n%s", filled(strings.TrimSpace(about)), usagePage(c.UsageString())) // there is nobody else to tell
}

// filled joins the lines of each paragraph and breaks them anew. Lines that begin with a blank are
// kept as they are.
func filled(text string) string {
	var all, paragraph []string
	end := func() {
		if len(paragraph) > 0 {
			all = append(all, broken(strings.Join(paragraph, " "), 0))
			paragraph = nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			end()
			all = append(all, line)
			continue
		}
		paragraph = append(paragraph, line)
	}
	end()
	return strings.Join(all, "\n")
}

// column is where the last column of a line of a list begins.
var column = regexp.MustCompile(`^ +\S.*?(?: {2,})(\S)`)

// usagePage breaks the lines of lists of commands and flags, as cobra writes them.
func usagePage(text string) string {
	var all []string
	toCopy := false
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && line[0] != ' ' {
			toCopy = line == "Usage:" || line == "Examples:"
		}
		if !toCopy && utf8.RuneCountInString(line) > helpWidth {
			hang := 0
			if at := column.FindStringSubmatchIndex(line); at != nil {
				hang = utf8.RuneCountInString(line[:at[2]])
			}
			line = broken(line, hang)
		}
		all = append(all, strings.TrimRight(line, " "))
	}
	return strings.Join(all, "\n")
}

// broken breaks a line between words. What follows is indented; where that would leave little room, a
// little only.
func broken(line string, hang int) string {
	if hang > helpWidth/2 {
		hang = 12
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	var b strings.Builder
	b.WriteString(indent)
	at, begun := len(indent), false
	for gap, word := range words(line[len(indent):]) {
		n := utf8.RuneCountInString(word)
		switch {
		case begun && at+len(gap)+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", hang))
			at = hang
		case begun:
			b.WriteString(gap)
			at += len(gap)
		}
		b.WriteString(word)
		at, begun = at+n, true
	}
	return b.String()
}

// words visits the words of a line, each with the blanks before it.
func words(line string) func(yield func(gap, word string) bool) {
	return func(yield func(gap, word string) bool) {
		for line != "" {
			word := strings.TrimLeft(line, " ")
			gap := line[:len(line)-len(word)]
			end := strings.IndexByte(word, ' ')
			if end < 0 {
				end = len(word)
			}
			if end == 0 || !yield(gap, word[:end]) {
				return
			}
			line = word[end:]
		}
	}
}

var comment = regexp.MustCompile(`(?s)\n?<!--.*?-->\n?`)

// withoutComments is a page without what only its tests read.
func withoutComments(page string) string { return comment.ReplaceAllString(page, "") }
