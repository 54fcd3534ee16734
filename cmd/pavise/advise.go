package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/schema"
)

// adviseFlags are those of `pavise advise`.
type adviseFlags struct {
	answers, save, write, against, api string
	upstream, host                     string
	ask, rules, markdown, asJSON       bool
}

func adviseCommand() *cobra.Command {
	f := &adviseFlags{}
	command := &cobra.Command{
		Use: "advise [OPENAPI]", Short: "Which shield should each endpoint have, and why?", Args: cobra.MaximumNArgs(1),
		Long: `Which shield should each endpoint have, and why?

Three questions decide: who calls, whose data it is, and what harm a wrong call does. With an OpenAPI document, what it tells
answers them for each operation; guesses are marked. Without one, they are asked here. Answers are kept with --save-answers, and
given with --answers. Nothing is sent or changed.`,
		Example: `  pavise advise orders.openapi.yaml
  pavise advise orders.openapi.yaml --ask --save-answers answers.yaml --write pavise.yaml
  pavise advise orders.openapi.yaml --answers answers.yaml --against pavise.yaml
  pavise advise --answers answers.yaml --markdown > docs/decisions/shields.md`,
		RunE: func(command *cobra.Command, names []string) error {
			if f.rules {
				return listAdviceRules(command, f.asJSON)
			}
			if f.asJSON && f.markdown {
				return &usageError{"--json and --markdown are two forms", "choose one"}
			}
			plan, err := f.plan(command, names)
			if err != nil {
				return err
			}
			if err := f.keep(command, plan); err != nil {
				return err
			}
			if f.against != "" {
				return compareAdvice(command, plan, f)
			}
			return showAdvice(command, plan, f)
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.answers, "answers", "", "a file of answers")
	flags.BoolVar(&f.ask, "ask", false, "go through the questions, with what is known as the answer to take over")
	flags.StringVar(&f.save, "save-answers", "", "write all answers to this file; an existing one is left alone")
	flags.StringVar(&f.write, "write", "", "write a configuration that does what is advised; an existing one is left alone")
	flags.StringVar(&f.against, "against", "", "compare with this configuration: exit code 1 where it is weaker than the advice")
	flags.StringVar(&f.api, "api", "", "with --against: only this API of the configuration")
	flags.StringVar(&f.upstream, "upstream", "", "where the service listens, for --write; default: http://127.0.0.1:3000")
	flags.StringVar(&f.host, "host", "", "name under which callers reach the gateway, for --write; default: the document's server, or 127.0.0.1")
	flags.BoolVar(&f.rules, "rules", false, "list the rules instead: what demands what, and by which source")
	flags.BoolVar(&f.markdown, "markdown", false, "write the advice as a record of the decision")
	jsonFlag(command, &f.asJSON)
	return command
}

// plan reads the document, the file and what is asked, and judges.
func (f *adviseFlags) plan(command *cobra.Command, names []string) (*advise.Plan, error) {
	given, err := f.given()
	if err != nil {
		return nil, err
	}
	var api advise.API
	var endpoints []advise.Endpoint
	var left []advise.Left
	if len(names) > 0 {
		text, err := readDocument(names[0])
		if err != nil {
			return nil, err
		}
		document, err := schema.Open(names[0], text, schema.Options{})
		if err != nil {
			return nil, &usageError{err.Error(), "OpenAPI 3.0 and 3.1 are read, in YAML or JSON"}
		}
		api, endpoints, left = advise.FromDocument(document)
		if len(endpoints) == 0 {
			return nil, &usageError{names[0] + " has no operation that could be served", firstLeft(left)}
		}
	}
	asks := f.ask || len(names) == 0 && f.answers == ""
	if asks && len(endpoints) == 0 && len(given.Endpoints) == 0 {
		if err := askEndpoints(command, given); err != nil {
			return nil, err
		}
	}
	api, endpoints, beyond := given.Apply(api, endpoints)
	if len(endpoints) == 0 {
		return nil, &usageError{"there is no endpoint to advise on", "name an OpenAPI document, or endpoints in the answers"}
	}
	if asks && (f.ask || len(names) > 0) {
		if err := askAbout(command, endpoints); err != nil {
			return nil, err
		}
	}
	plan := advise.Advise(api, endpoints)
	plan.Left = append(left, beyond...)
	if len(names) > 0 {
		plan.Served = f.served(names[0])
	}
	return plan, nil
}

func firstLeft(left []advise.Left) string {
	if len(left) == 0 {
		return "its paths are empty"
	}
	return left[0].What + ": " + left[0].Why
}

// given are the answers of the file, under what the command line says.
func (f *adviseFlags) given() (*advise.File, error) {
	given := &advise.File{}
	if f.answers != "" {
		text, err := readDocument(f.answers)
		if err != nil {
			return nil, err
		}
		if given, err = advise.ReadFile(text); err != nil {
			return nil, &usageError{fmt.Sprintf("%s: %v", f.answers, err), "`pavise advise --save-answers FILE` writes one to begin with"}
		}
	}
	if f.upstream != "" {
		given.Upstream = f.upstream
	}
	if f.host != "" {
		given.Host = f.host
	}
	if err := given.Check(); err != nil {
		return nil, &usageError{err.Error(), ""}
	}
	return given, nil
}

// served is the document as the configuration to be written names it.
func (f *adviseFlags) served(document string) string {
	folder := filepath.Dir(f.write)
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return document
	}
	name, err := filepath.Abs(document)
	if err != nil {
		return document
	}
	if relative, err := filepath.Rel(absolute, name); err == nil {
		return relative
	}
	return name
}

// keep writes the files that were asked for.
func (f *adviseFlags) keep(command *cobra.Command, plan *advise.Plan) error {
	if f.save != "" {
		text, err := advise.AnswersOf(plan).Text()
		if err != nil {
			return err
		}
		if err := writeNew(f.save, text); err != nil {
			return err
		}
	}
	if f.write == "" {
		return nil
	}
	if err := writeNew(f.write, plan.Configuration()); err != nil {
		return err
	}
	written, err := app.Load(f.write)
	if err == nil {
		err = whole(written)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s was written, and needs something more", f.write), err)
	}
	return nil
}

// compareAdvice says where a configuration is weaker.
func compareAdvice(command *cobra.Command, plan *advise.Plan, f *adviseFlags) error {
	file, err := app.Load(f.against)
	if err != nil {
		return err
	}
	live, err := app.Advised(file)
	if err != nil {
		return err
	}
	if f.api != "" {
		if _, known := file.APIs[f.api]; !known {
			return &usageError{fmt.Sprintf("there is no API %.80q", f.api), "the configuration names them under apis"}
		}
		live.Keep(f.api)
	}
	found := plan.Against(live)
	out := command.OutOrStdout()
	switch {
	case f.asJSON:
		err = writeJSON(out, found)
	case f.markdown:
		_, err = fmt.Fprint(out, found.Markdown())
	default:
		err = showComparison(out, &found)
	}
	if err != nil || len(found.Weaker) == 0 {
		return err
	}
	return &hinted{fmt.Errorf("%s is weaker than the advice in %s", f.against, counted(len(found.Weaker), "place")), "mend them, or correct the answers: `--save-answers` writes those that were taken"}
}

// today is the day of a record.
func today() string { return time.Now().UTC().Format(time.DateOnly) }
