package poller

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"

	"reconciler/internal/store"
)

// retryWhileDown tries again, for the given time, while the database cannot be reached. A limit of
// 0 is a single try. Each try has a limit of its own. The error is that of the last try.
func retryWhileDown(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	var last error
	try := func() error {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		last = do(ctx)
		if last != nil && !store.IsTransient(last) {
			return backoff.Permanent(last)
		}
		return last
	}
	if limit == 0 {
		_ = try()
		return last
	}
	waits := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(2*time.Second), backoff.WithMaxElapsedTime(limit))
	// Retry's own error may only say that the context has ended.
	_ = backoff.Retry(try, backoff.WithContext(waits, ctx))
	return last
}
