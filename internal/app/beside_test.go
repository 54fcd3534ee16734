package app

import (
	"context"
	"testing"
)

// What runs beside requests may begin more, also while it is being ended.
func TestWhatRunsBesideEndsWithItsGeneration(t *testing.T) {
	b := newBeside()
	began, more := make(chan struct{}), make(chan bool, 1)
	b.Go(func(ctx context.Context) {
		close(began)
		<-ctx.Done()
		b.Go(func(context.Context) { more <- true })
	})
	<-began
	b.close()
	b.Go(func(context.Context) { more <- true })
	b.close()
	select {
	case <-more:
		// It may have begun before the end was known, and was waited for; nothing after.
		select {
		case <-more:
			t.Error("something began after the end")
		default:
		}
	default:
	}
}
