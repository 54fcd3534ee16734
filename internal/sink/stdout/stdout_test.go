package stdout_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/sinktest"
	"pavise.dev/pavise/internal/sink/stdout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is an output whose reader may be slow or gone.
type pipe struct {
	mu   sync.Mutex
	text bytes.Buffer
	mode sinktest.Mode
	well *sync.Cond
}

func newPipe() *pipe {
	p := &pipe{mode: sinktest.Well}
	p.well = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode == sinktest.Silent {
		p.well.Wait()
	}
	if p.mode == sinktest.Broken {
		n, _ := p.text.Write(b[:len(b)/2])
		return n, errors.New("broken pipe")
	}
	return p.text.Write(b)
}

func (p *pipe) become(mode sinktest.Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == sinktest.Broken {
		p.text.WriteByte('\n') // the reader begins anew
	}
	p.mode = mode
	p.well.Broadcast()
}

func (p *pipe) got() (ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range bytes.Lines(p.text.Bytes()) {
		if e, err := audit.ParseJSON(bytes.TrimSpace(line)); err == nil {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func TestDestination(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		p := newPipe()
		t.Cleanup(func() { p.become(sinktest.Well) })
		write, err := form.Source{}.Form(form.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return sinktest.Place{
			Destination: stdout.New(p, write), Got: p.got, Become: p.become, Modes: []sinktest.Mode{sinktest.Silent, sinktest.Broken},
		}
	})
}
