package poller

import (
	"context"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// budget is this instance's share of round trips a second. Claims take as many
// orders as it allows, so that no claim waits for it; retries wait for it.
type budget struct {
	limiter *rate.Limiter // nil: no limit
}

// newBudget allows perSecond round trips a second, in bursts of one second.
func newBudget(perSecond float64) *budget {
	if perSecond == 0 {
		return &budget{}
	}
	return &budget{limiter: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
}

// room is how many round trips may begin at once, at most want. Where it is 0,
// more is to be asked for after the given time, when a worthwhile number is there.
func (b *budget) room(want int) (int, time.Duration) {
	if b.limiter == nil {
		return want, 0
	}
	n := int(b.limiter.Tokens())
	if n >= 1 {
		return min(want, n), 0
	}
	perSecond := float64(b.limiter.Limit())
	group := max(1, math.Floor(perSecond/10)) // a claim about every tenth of a second
	missing := group - b.limiter.Tokens()
	return 0, time.Duration(missing / perSecond * float64(time.Second))
}

// spend accounts for n round trips that begin now.
func (b *budget) spend(n int) {
	if b.limiter != nil {
		b.limiter.ReserveN(time.Now(), n)
	}
}

// wait is for one more round trip, or an error where ctx would end before it.
func (b *budget) wait(ctx context.Context) error {
	if b.limiter == nil {
		return ctx.Err()
	}
	return b.limiter.Wait(ctx)
}
