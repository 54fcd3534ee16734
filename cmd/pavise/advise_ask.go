package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/advise"
)

// maxAsked bounds how many endpoints are asked for by name.
const maxAsked = 100

// maxTries is how often one question is put before it is given up.
const maxTries = 5

// questions asks somebody at a terminal. Questions go to the error stream, so that what is advised
// can be sent elsewhere.
type questions struct {
	in  *bufio.Reader
	out io.Writer
}

func questionsOf(command *cobra.Command) *questions {
	return &questions{bufio.NewReader(io.LimitReader(command.InOrStdin(), 1<<20)), command.ErrOrStderr()}
}

// ask puts a question until the answer can be taken. An empty answer takes over what is known.
func (q *questions) ask(text, known string, take func(string) error) error {
	for range maxTries {
		suffix := ": "
		if known != "" {
			suffix = " [" + known + "]: "
		}
		if _, err := fmt.Fprint(q.out, text, suffix); err != nil {
			return err
		}
		line, err := q.in.ReadString('\n')
		if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
			return &usageError{"the answers ended too soon", "give them in a file: --answers; or take those that are guessed, without --ask"}
		}
		answer := strings.TrimSpace(line)
		if answer == "" {
			answer = known
		}
		if err := take(answer); err != nil {
			if _, err := fmt.Fprintf(q.out, "  %s\n", printable(err.Error())); err != nil {
				return err
			}
			continue
		}
		return nil
	}
	return &usageError{"no answer could be taken", "`pavise advise --help` tells of files of answers"}
}

// askEndpoints asks for the endpoints, and then about each.
func askEndpoints(command *cobra.Command, into *advise.File) error {
	q := questionsOf(command)
	into.Endpoints = map[string]advise.Answers{}
	_, err := fmt.Fprint(q.out, "Which endpoints? One a line, as POST /v1/orders or GET /v1/orders/{id}; an empty line ends.\n")
	for err == nil && len(into.Endpoints) < maxAsked {
		pattern := ""
		err = q.ask("endpoint", "", func(answer string) error {
			pattern = answer
			if answer == "" {
				return nil
			}
			return advise.CheckPattern(answer)
		})
		if err != nil || pattern == "" {
			break
		}
		e := advise.Endpoint{Pattern: pattern}
		e.Complete()
		if err = q.about(&e); err == nil {
			into.Endpoints[pattern] = e.Answers
		}
	}
	if err == nil && len(into.Endpoints) == 0 {
		return &usageError{"no endpoint was named", "name one, or an OpenAPI document"}
	}
	return err
}

// askAbout goes through the questions for endpoints that are known.
func askAbout(command *cobra.Command, endpoints []advise.Endpoint) error {
	q := questionsOf(command)
	for i := range endpoints {
		if _, err := fmt.Fprintf(q.out, "\n%s\n", printable(endpoints[i].Pattern)); err != nil {
			return err
		}
		if err := q.about(&endpoints[i]); err != nil {
			return err
		}
	}
	return nil
}

// about asks the three questions about an endpoint. What is taken over is no guess any more.
func (q *questions) about(e *advise.Endpoint) error {
	a := &e.Answers
	if err := q.ask("  who calls? "+list(advise.Callers()), joined(a.Callers), func(answer string) error {
		callers, err := wordsOf(answer, advise.Callers())
		a.Callers = callers
		return err
	}); err != nil {
		return err
	}
	if slices.ContainsFunc(a.Callers, func(c advise.Caller) bool { return !c.IsApp() && c != advise.Webhook }) && !slices.Contains(a.Callers, advise.Webhook) {
		if err := q.ask("  does it call for a person who signed in? yes, no", yesNo(a.OnBehalf), func(answer string) error {
			if answer != "yes" && answer != "no" {
				return errors.New("yes or no?")
			}
			yes := answer == "yes"
			a.OnBehalf = &yes
			return nil
		}); err != nil {
			return err
		}
	} else {
		a.OnBehalf = nil
	}
	if err := q.ask("  whose data? "+list(advise.DataKinds()), string(a.Data), func(answer string) error {
		found, err := wordsOf(answer, advise.DataKinds())
		if err == nil && len(found) > 1 {
			err = errors.New("name the most delicate one")
		}
		if err == nil {
			a.Data = found[0]
		}
		return err
	}); err != nil {
		return err
	}
	if err := q.ask("  what does a wrong call do at worst? "+list(advise.Harms()), string(a.Harm), func(answer string) error {
		found, err := wordsOf(answer, advise.Harms())
		if err == nil && len(found) > 1 {
			err = errors.New("name the worst one")
		}
		if err == nil {
			a.Harm = found[0]
		}
		return err
	}); err != nil {
		return err
	}
	e.Guessed = nil
	return nil
}

func yesNo(b *bool) string {
	if b != nil && *b {
		return "yes"
	}
	return "no"
}

func list[T ~string](all []T) string { return joined(all) }

func joined[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, w := range all {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

// wordsOf reads words between commas or blanks, each one of those that there are.
func wordsOf[T ~string](answer string, known []T) (found []T, err error) {
	for _, word := range strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == ' ' }) {
		if !slices.Contains(known, T(word)) {
			return nil, fmt.Errorf("there is no %.40q", word)
		}
		if !slices.Contains(found, T(word)) {
			found = append(found, T(word))
		}
	}
	if len(found) == 0 {
		return nil, errors.New("name at least one")
	}
	return found, nil
}
