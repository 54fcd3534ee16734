package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/check/against"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
)

// checkAgainst compares the configuration with an old one, by requests that both decide about.
func checkAgainst(command *cobra.Command, old string, f *reportFlags) (err error) {
	older, err := app.Load(old)
	if err != nil {
		return fmt.Errorf("the old configuration: %w", err)
	}
	name := configPath(command)
	newer, err := app.Load(name)
	if err != nil {
		return err
	}
	var opened []*app.Simulation
	defer func() {
		for _, s := range opened {
			err = errors.Join(err, s.Close())
		}
	}()
	build := func(file *config.File, o against.Others) (against.Guard, error) {
		s, err := app.Simulate(file, (*app.World)(&o))
		if err != nil {
			return nil, err
		}
		opened = append(opened, s)
		return simulated{s}, nil
	}
	now := time.Now()
	result, err := against.Compare(older, newer, build, now)
	if err != nil {
		return err
	}
	out := command.OutOrStdout()
	report := against.Report(name+" against "+old, result, now)
	if f.asJSON {
		err = writeJSON(out, result)
	} else {
		err = finding.Write(out, f.form(), finding.Style{Color: isTerminal(out), All: true, FailOn: f.least}, report)
	}
	if err != nil || !f.fails || len(result.Opened) == 0 {
		return err
	}
	return &hinted{fmt.Errorf("%s opened by %s", counted(len(result.Opened), "door"), name), "--fail-on none if it is meant"}
}

// simulated is a simulation in the words of package against.
type simulated struct{ *app.Simulation }

// Decide implements against.Guard.
func (s simulated) Decide(r *http.Request) (against.Decision, error) {
	d, err := s.Simulation.Decide(r)
	return against.Decision(d), err
}
