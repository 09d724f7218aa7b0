package webhook

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	minRetryWait = 5 * time.Second
	maxRetryWait = time.Hour
	// maxPending is how long an event is tried before it is set aside.
	maxPending = 72 * time.Hour
	// minAttempts are made first, also of an event that waited while no instance ran.
	minAttempts = 10
)

// retryWait is the time to the next attempt after one that failed, 0 where there is none. Attempts
// are those that were made so far, this one included.
func retryWait(attempts int, pending time.Duration) time.Duration {
	if pending >= maxPending && attempts >= minAttempts {
		return 0
	}
	curve := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(minRetryWait), backoff.WithMultiplier(2), backoff.WithMaxInterval(maxRetryWait),
		backoff.WithRandomizationFactor(0.1), backoff.WithMaxElapsedTime(0))
	wait := curve.NextBackOff()
	for range attempts - 1 {
		wait = curve.NextBackOff()
	}
	return min(max(wait, minRetryWait), maxRetryWait)
}
