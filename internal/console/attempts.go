package console

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	attemptWindow = 10 * time.Minute
	slowFrom      = 5  // failures after which each further attempt waits
	refuseFrom    = 20 // failures after which each further attempt is refused
	slowWait      = 5 * time.Second
)

// attempts slows down people who guess passwords: by name, and by address.
type attempts struct {
	mu       sync.Mutex
	failures map[string][]time.Time // by "name …" and "address …", oldest first
}

func newAttempts() *attempts { return &attempts{failures: make(map[string][]time.Time)} }

// tooManyError refuses an attempt.
type tooManyError struct{ wait time.Duration }

func (e tooManyError) Error() string { return fmt.Sprintf("too many failed log-ins: wait %s", e.wait) }

func (e tooManyError) waitSeconds() string { return strconv.Itoa(int(e.wait/time.Second) + 1) }

// admitAttempt lets an attempt begin, after a wait where there were several failures. It counts as
// a failure until the returned function is called, so that attempts at the same time count as well.
func (a *attempts) admitAttempt(ctx context.Context, name, address string) (succeeded func(), err error) {
	if len(name) > maxName {
		name = name[:maxName]
	}
	keys := []string{"name " + name, "address " + address}
	now := time.Now()
	failed, err := a.countAttempt(keys, now)
	if err != nil {
		return nil, err
	}
	if failed >= slowFrom {
		timer := time.NewTimer(slowWait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() { a.uncountAttempt(keys, now) }, nil
}

// countAttempt returns the number of failures before this attempt, and counts it.
func (a *attempts) countAttempt(keys []string, now time.Time) (failed int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetOld(now)
	for _, key := range keys {
		list := a.failures[key]
		if len(list) >= refuseFrom {
			return 0, tooManyError{list[len(list)-refuseFrom].Add(attemptWindow).Sub(now)}
		}
		failed = max(failed, len(list))
	}
	for _, key := range keys {
		a.failures[key] = append(a.failures[key], now)
	}
	return failed, nil
}

// forgetOld drops what is older than the window.
func (a *attempts) forgetOld(now time.Time) {
	for key, list := range a.failures {
		for len(list) > 0 && now.Sub(list[0]) >= attemptWindow {
			list = list[1:]
		}
		if a.failures[key] = list; len(list) == 0 {
			delete(a.failures, key)
		}
	}
}

func (a *attempts) uncountAttempt(keys []string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range keys {
		for i, t := range a.failures[key] {
			if t.Equal(at) {
				a.failures[key] = append(a.failures[key][:i:i], a.failures[key][i+1:]...)
				break
			}
		}
	}
}
