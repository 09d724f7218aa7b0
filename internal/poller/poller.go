// Package poller is the policy: which orders are asked about, what an answer
// means and when to ask again. It is the only package that knows the words of
// both the gateway ([chinaums]) and the tables ([store]).
//
// # Claim, ask, record
//
// A pass runs three stages side by side, joined by channels:
//
//   - one claimer takes due orders from the store, account by account, a few ahead of
//     need, as many as the breaker and the rate allow;
//   - as many workers as there may be questions in flight each ask about one
//     order after the other, with a few quick retries, and decide;
//   - one writer records whatever has arrived while its last commit ran.
//
// There is no barrier between batches: a slow order holds up its own worker and
// nothing else. Memory is bounded by the number of workers. No transaction is
// open while the gateway is asked; a claim that is lost with its process simply
// ends with its lease.
//
// # What decides
//
// [policy.Rules.Decide] is a pure function of the order, the reply and the time. An
// error never becomes a settlement: only a reply without trouble reaches the code
// that reads the trade status.
//
// # Stopping
//
// When the context ends, nothing more is claimed; claims that were not asked are
// given back; a question in flight ends with its present round trip; every
// answer that came is written.
package poller

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// Gateway asks one question in one round trip. A [*chinaums.Client] is one.
type Gateway interface {
	Query(ctx context.Context, r chinaums.Request) (chinaums.Answer, error)
}

// Store keeps the orders. A [*store.Store] is one.
type Store interface {
	Now(ctx context.Context) (time.Time, error)
	Claim(ctx context.Context, c store.Claim) (store.Page, error)
	Peek(ctx context.Context, c store.Claim) ([]order.Order, error)
	Count(ctx context.Context, c store.Claim) (int, error)
	Release(ctx context.Context, orders []order.Order) error
	Forgive(ctx context.Context, orders []order.Order) error
	Record(ctx context.Context, group []order.Outcome) ([]store.Recorded, error)
	RecordUnwritable(ctx context.Context, o order.Outcome, cause error) (store.Recorded, error)
	Standing(ctx context.Context, app string, rate float64) (store.Standing, error)
	OpenBudget(ctx context.Context, app string, rate float64) error
	Reserve(ctx context.Context, app string, rate float64) (time.Duration, error)
	Trip(ctx context.Context, scope store.Scope, key, reason string, pause time.Duration) error
	Heal(ctx context.Context, scope store.Scope, key string) error
	EndProbe(ctx context.Context, scope store.Scope, key string) error
	Crowd(ctx context.Context) (store.Crowd, error)
	NotFoundEvidence(ctx context.Context, o order.Order, since time.Time) (order.Evidence, error)
}

const (
	// roundTrips is how often one question may be asked before it counts as not
	// answered.
	roundTrips = 3
	// writeMargin is kept free at the end of a lease for the write.
	writeMargin = 5 * time.Second
	// retryInitial and retryJitter shape the waits between those round trips.
	retryInitial = 250 * time.Millisecond
	retryJitter  = 0.5
)

// MinLease is the shortest lease under which a question can use all of its
// round trips, wait between them at the longest, and be written.
func MinLease(requestTimeout time.Duration) time.Duration {
	waits, next := time.Duration(0), retryInitial
	for range roundTrips - 1 {
		waits += next + time.Duration(float64(next)*retryJitter)
		next *= 2
	}
	return roundTrips*requestTimeout + waits + writeMargin
}

// Options configure a [Poller]. All of them but Observe are required.
type Options struct {
	Store  Store
	Apps   []App // that the poller begins with; see [Poller.Use]
	Logger *slog.Logger

	Worker         string        // this instance's name in claimed_by and the ledger
	Concurrency    int           // questions in flight
	Rate           float64       // round trips a second with one app id, of all instances together; 0 = no limit
	RequestTimeout time.Duration // of the gateway's round trips, as the client has it
	Lease          time.Duration // of a claim
	Rules          policy.Rules

	// Observe, if set, is told of every outcome once it is written (or, in a dry
	// run, decided), by one goroutine at a time.
	Observe func(order.Outcome)
}

// Validate names everything that is wrong with the settings, as joined values of type [policy.Problem].
// It leaves out store, apps and logger.
func (o Options) Validate() error {
	var errs []error
	if o.Concurrency < 1 || o.Concurrency > 10_000 {
		errs = append(errs, policy.Problemf("Concurrency", "must be from 1 to 10000, not %d", o.Concurrency))
	}
	if o.Rate != 0 && !(o.Rate >= 0.01 && o.Rate <= 1e6) {
		errs = append(errs, policy.Problemf("Rate", "must be 0 (no limit) or from 0.01 to a million round trips a second, not %g", o.Rate))
	}
	if o.RequestTimeout <= 0 || o.RequestTimeout > time.Hour {
		errs = append(errs, policy.Problemf("RequestTimeout", "must be more than 0 and at most 1h, not %s", o.RequestTimeout))
	} else if least := MinLease(o.RequestTimeout); o.Lease < least {
		errs = append(errs, policy.Problemf("Lease", "must be at least %s with a request timeout of %s "+
			"(%d round trips, the waits between them and %s for the write), not %s", least, o.RequestTimeout, roundTrips, writeMargin, o.Lease))
	}
	return errors.Join(append(errs, o.Rules.Plan.Validate())...)
}

// Poller asks about orders. One pass runs at a time.
type Poller struct {
	Options

	apps   atomic.Pointer[[]*appState]
	health health
	// severalUntil is how long there is to be room for more than one merchant; the claimer's.
	severalUntil time.Time
}

// New returns a poller, or everything that is wrong with the options.
func New(o Options) (*Poller, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Store == nil || o.Logger == nil || o.Worker == "" {
		return nil, errors.New("poller: store, logger and worker are required")
	}
	if o.Observe == nil {
		o.Observe = func(order.Outcome) {}
	}
	p := &Poller{Options: o}
	return p, p.Use(o.Apps)
}
