package policy

import (
	"errors"
	"time"

	"reconciler/internal/order"

	"github.com/cenkalti/backoff/v4"
)

const (
	// slowWait is the wait between questions about an old order.
	slowWait = 24 * time.Hour
	// maxNoAnswerWait bounds the wait after a question that brought no answer: the outage may end
	// long before the plan's present wait.
	maxNoAnswerWait = 5 * time.Minute
	// minProcessingWait is the wait that the gateway asks for while another operation holds the
	// order (ORDER_PROCESSING).
	minProcessingWait = time.Minute
	// expiryMargin is the longest time from an order's expiry to its next question: by then the
	// gateway has closed it or has the payment.
	expiryMargin = time.Minute
	// lateCheckAfter is when a NOT_FOUND order is asked about one last time.
	lateCheckAfter = 24 * time.Hour
	// foundWithin is how fresh a merchant's found answer must be for NOT_FOUND.
	foundWithin = 24 * time.Hour
	// minNoOrders is how many NO_ORDER answers NOT_FOUND takes.
	minNoOrders = 3
	// maxPayTimeLead and maxClockDifference bound a plausible payTime.
	maxPayTimeLead     = 24 * time.Hour
	maxClockDifference = time.Minute
)

// Plan says when an order is asked again. It depends on the order and the time alone, so that it
// can be printed.
type Plan struct {
	Initial    time.Duration // the first wait
	Multiplier float64       // of each further wait, at least 1
	Max        time.Duration // no wait is longer, jitter aside
	Jitter     float64       // share by which an order's waits differ from others', 0 to below 1

	SlowAfter     time.Duration // age from which an order is asked about daily
	GiveUpAfter   time.Duration // age from which an unresolved order goes to a person
	NotFoundAfter time.Duration // age before which NO_ORDER is never believed
}

// Validate names everything that is wrong with the plan, as joined values of type [Problem].
func (p Plan) Validate() error {
	var errs []error
	refuse := func(bad bool, field, format string, args ...any) {
		if bad {
			errs = append(errs, Problemf(field, format, args...))
		}
	}
	refuse(p.Initial <= 0, "Initial", "must be more than 0, not %s", p.Initial)
	refuse(!(p.Multiplier >= 1 && p.Multiplier <= 100), "Multiplier", "must be from 1 to 100, not %g", p.Multiplier)
	refuse(p.Max < p.Initial, "Max", "must be at least the first wait (%s), not %s", p.Initial, p.Max)
	refuse(p.Max <= 0 && p.Max >= p.Initial, "Max", "must be more than 0, not %s", p.Max)
	refuse(!(p.Jitter >= 0 && p.Jitter < 1), "Jitter", "must be from 0 to below 1, not %g", p.Jitter)
	refuse(p.SlowAfter <= 0, "SlowAfter", "must be more than 0, not %s", p.SlowAfter)
	refuse(p.NotFoundAfter <= 0, "NotFoundAfter", "must be more than 0, not %s", p.NotFoundAfter)
	refuse(p.GiveUpAfter < p.NotFoundAfter, "GiveUpAfter",
		"must be at least the age from which an order can be not found (%s), not %s", p.NotFoundAfter, p.GiveUpAfter)
	refuse(p.GiveUpAfter <= 0 && p.GiveUpAfter >= p.NotFoundAfter, "GiveUpAfter", "must be more than 0, not %s", p.GiveUpAfter)
	return errors.Join(errs...)
}

// Wait is the time from now to the order's next question, jitter included.
func (p Plan) Wait(o order.Order, now time.Time) time.Duration {
	wait := p.Curve(o.QueryCount)
	if ageOf(o, now) > p.SlowAfter {
		wait = slowWait
	}
	return wait + time.Duration(float64(wait)*p.Jitter*jitterOf(o.ID))
}

// Curve is wait n, counted from 0, without jitter.
func (p Plan) Curve(n int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.Initial),
		backoff.WithMultiplier(p.Multiplier),
		backoff.WithMaxInterval(p.Max),
		backoff.WithRandomizationFactor(0),
		backoff.WithMaxElapsedTime(0),
	)
	wait := b.NextBackOff()
	for range n {
		next := b.NextBackOff()
		if next <= wait { // at its maximum, or not growing at all
			break
		}
		wait = next
	}
	return min(wait, p.Max)
}

// jitterOf is a number from -1 to 1, always the same for an order. It is well distributed over
// neighbouring ids (the finalizer of SplitMix64).
func jitterOf(id int64) float64 {
	z := uint64(id) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11)/(1<<52) - 1
}

func ageOf(o order.Order, now time.Time) time.Duration { return now.Sub(o.CreatedAt) }

func isExpired(o order.Order, now time.Time) bool { return now.After(o.ExpiresAt) }
