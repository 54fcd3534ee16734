package app

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newGeneration() *generation { return &generation{last: make(chan struct{})} }

// However requests and reloads meet, no request is in a generation that has ended.
func TestNoRequestIsInAGenerationThatHasEnded(t *testing.T) {
	a := &App{}
	a.generation.Store(newGeneration())
	var done atomic.Bool
	var requests, late atomic.Int64
	var callers, retiring sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for !done.Load() {
				g := a.enter()
				select {
				case <-g.last:
					late.Add(1)
				default:
				}
				requests.Add(1)
				g.leave()
			}
		})
	}
	for range 2000 {
		old := a.current()
		a.generation.Store(newGeneration())
		retiring.Go(func() { old.retire(t.Context()) })
	}
	retiring.Wait()
	done.Store(true)
	callers.Wait()
	if late.Load() > 0 || requests.Load() == 0 {
		t.Errorf("%d of %d requests were in a generation that had ended", late.Load(), requests.Load())
	}
}

func TestAReplacedGenerationWaitsForItsLastRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &App{}
		a.generation.Store(newGeneration())
		first, second := a.enter(), a.enter()
		a.generation.Store(newGeneration())
		ended := make(chan struct{})
		go func() {
			first.retire(t.Context())
			close(ended)
		}()
		isOver := func() bool {
			time.Sleep(time.Hour) // of the bubble's clock
			synctest.Wait()
			select {
			case <-ended:
				return true
			default:
				return false
			}
		}
		if isOver() {
			t.Error("over with two requests under way")
		}
		first.leave()
		if isOver() {
			t.Error("over with a request under way")
		}
		second.leave()
		if !isOver() {
			t.Error("not over after its last request")
		}
	})
}

func TestAReplacedGenerationEndsAtTheLatestWithItsContext(t *testing.T) {
	a := &App{}
	a.generation.Store(newGeneration())
	g := a.enter()
	defer g.leave()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.retire(ctx) // returns
}
