package notify

import (
	"context"
	"time"
)

// burst is how many messages may follow each other as fast as groups do.
const burst = 10

// Pace decides when the next message goes out: not before what comes together has come, and no
// more than so many an hour. What waits is in the log, and goes together.
type Pace struct {
	Group   time.Duration // from the first alert of a message until it is sent
	PerHour int           // messages; 0: without a bound
	Now     func() time.Time
	Wait    func(ctx context.Context, d time.Duration) error

	left   float64 // messages that may go at once
	filled time.Time
}

// Gather waits until a message may go out that begins now.
func (p *Pace) Gather(ctx context.Context) error {
	if p.Group > 0 {
		if err := p.Wait(ctx, p.Group); err != nil {
			return err
		}
	}
	if p.PerHour == 0 {
		return nil
	}
	for {
		p.fill()
		if p.left >= 1 {
			p.left--
			return nil
		}
		each := time.Hour / time.Duration(p.PerHour)
		if err := p.Wait(ctx, time.Duration((1-p.left)*float64(each))+time.Millisecond); err != nil {
			return err
		}
	}
}

func (p *Pace) fill() {
	now, most := p.Now(), float64(min(burst, p.PerHour))
	if p.filled.IsZero() {
		p.left = most
	} else if passed := now.Sub(p.filled); passed > 0 {
		p.left = min(most, p.left+passed.Hours()*float64(p.PerHour))
	}
	p.filled = now
}
