// Package poller is the pipeline: it claims orders, asks the gateway about them, and records what
// came of it. [policy] decides the meaning of an answer, [store] has the SQL.
//
// # Who runs, who owns what
//
// [Poller.RunOnce] does one pass; start reading at runPass. The stages run side by side:
//
//		claimer (one per app id) → queue → worker (Concurrency of them) → results → recorder (one)
//
//	  - A claimer takes due orders of its app id, as many as there is room for. It ends when nothing is
//	    due and nothing of its own is under way, or when its app id is paused.
//	  - The queue deals claimed orders out to the workers. It knows who may have how many.
//	  - A worker asks about one order at a time and decides.
//	  - The recorder writes whatever has arrived while its last commit ran. It keeps aside the answers
//	    that cannot be written yet.
//
// Arrows run one way. The only way back is a count: the recorder tells the queue which orders are
// finished, and the queue wakes the claimers.
//
// A slow order holds up its own worker and nothing else. Concurrency bounds the memory, the backlog
// does not. No transaction is open while the gateway is asked. A claim that is lost with its
// process ends with its lease.
//
// Four things outlive a pass, each a type with a mutex of its own: the [breaker], the fairness
// between merchants, the outage of the writing, and the rows that wait aside.
//
// # Stopping
//
// See shutdown.go: when the context ends, nothing more is claimed, and claims that were not asked
// are given back. A question in flight ends with its present round trip, and every answer is
// written.
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

// Store keeps the orders, seen by the stages of the pipeline. A [*store.Store] is one.
type Store interface {
	Claims
	Budgets
	Ledger
	Pauses
}

// Claims is the claimers' view of the store.
type Claims interface {
	Now(ctx context.Context) (time.Time, error)
	MerchantStats(ctx context.Context) (store.MerchantStats, error)
	Claim(ctx context.Context, c store.Claim) (store.Page, error)
	Peek(ctx context.Context, c store.Claim) (store.Page, error)
	Count(ctx context.Context, c store.Claim) (int, error)
	ReleaseStray(ctx context.Context, worker string, inHand []int64) (int, error)
	ReviveNoCredentials(ctx context.Context, mids []string) (int, error)
}

// Budgets is the view of the round trips that all instances share.
type Budgets interface {
	OpenBudget(ctx context.Context, app string, rate float64) error
	Reserve(ctx context.Context, app string, rate float64) (time.Duration, error)
}

// Ledger is the recorder's view of the store.
type Ledger interface {
	NotFoundEvidence(ctx context.Context, o order.Order, since time.Time) (order.Evidence, error)
	Record(ctx context.Context, group []order.Outcome) ([]store.Recorded, error)
	RecordUnwritable(ctx context.Context, o order.Outcome, cause error) (store.Recorded, error)
	Release(ctx context.Context, orders []order.Order) error
	UncountClaims(ctx context.Context, orders []order.Order) error
}

// Pauses is the breaker's view of the store.
type Pauses interface {
	PauseByBreaker(ctx context.Context, p store.BreakerPause) error
	ResumeByBreaker(ctx context.Context, scope store.Scope, key string) (resumed bool, after time.Duration, err error)
	ReleaseProbe(ctx context.Context, scope store.Scope, key string) error
}

// Observer is told what happens, for metrics. Its methods are called by many goroutines at once and
// must not block.
type Observer interface {
	RoundTripSent(appID string)
	Answered(appID, class string)     // the class of trouble, "ok" for none
	Decided(out order.Outcome)        // a question was decided
	Recorded(out order.Outcome)       // its answer is written (in a dry run: decided)
	WriteFailed(reason string)        // one of store.FailureReason
	BreakerMoved(scope, state string) // open, half_open, closed
}

const (
	// maxRoundTrips is how many requests one question may take.
	maxRoundTrips = 3
	// maxYoung is how long a daemon waits at most before it asks about a suspect.
	maxYoung = 15 * time.Second
	// writeMargin is kept free at the end of a lease for the write.
	writeMargin = 5 * time.Second
	// maxLease is the longest lease. One that ends later counts as ended where people look.
	maxLease = 24 * time.Hour
	// retryInitial and retryJitter shape the waits between those round trips.
	retryInitial = 250 * time.Millisecond
	retryJitter  = 0.5
)

// MinLease is the shortest lease under which a question can use all of its round trips, wait
// between them at the longest, and be written.
func MinLease(requestTimeout time.Duration) time.Duration {
	waits, next := time.Duration(0), retryInitial
	for range maxRoundTrips - 1 {
		waits += next + time.Duration(float64(next)*retryJitter)
		next *= 2
	}
	return maxRoundTrips*requestTimeout + waits + writeMargin
}

// Options configure a [Poller]. All of them but Observer are required.
type Options struct {
	Store  Store
	Apps   []App // that the poller begins with; see [Poller.UseApps]
	Logger *slog.Logger

	Worker         string        // this process's name in claimed_by and the ledger, never used again
	Concurrency    int           // questions in flight
	Rate           float64       // round trips a second with one app id, of all instances together; 0 = no limit
	RequestTimeout time.Duration // of the gateway's round trips, as the client has it
	Lease          time.Duration // of a claim
	Rules          policy.Rules

	Observer Observer
}

// Validate names everything that is wrong with the settings, as joined values of type
// [policy.Problem]. It leaves out store, apps and logger.
func (o Options) Validate() error {
	var errs []error
	if o.Concurrency < 1 || o.Concurrency > 10_000 {
		errs = append(errs, policy.Problemf("Concurrency", "must be from 1 to 10000, not %d", o.Concurrency))
	}
	if err := CheckRate(o.Rate); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, o.checkLease(), o.Rules.Plan.Validate())...)
}

// checkLease judges the lease beside a wrong timeout too, as far as no timeout could mend it.
func (o Options) checkLease() error {
	var errs []error
	least, with := MinLease(o.RequestTimeout), "a request timeout of "+o.RequestTimeout.String()
	if err := CheckTimeout(o.RequestTimeout); err != nil {
		errs = append(errs, err)
		least, with = MinLease(0), "any request timeout"
	}
	if o.Lease < least {
		errs = append(errs, policy.Problemf("Lease", "must be at least %s with %s "+
			"(%d round trips, the waits between them and %s for the write), not %s", least, with, maxRoundTrips, writeMargin, o.Lease))
	}
	if o.Lease > maxLease {
		errs = append(errs, policy.Problemf("Lease", "must be at most %s, not %s", maxLease, o.Lease))
	}
	return errors.Join(errs...)
}

// CheckTimeout refuses a request timeout that no round trip can have.
func CheckTimeout(timeout time.Duration) error {
	if timeout <= 0 || timeout > time.Hour {
		return policy.Problemf("RequestTimeout", "must be more than 0 and at most 1h, not %s", timeout)
	}
	return nil
}

// CheckRate refuses a rate that no budget can have.
func CheckRate(perSecond float64) error {
	if perSecond != 0 && !(perSecond >= 0.01 && perSecond <= 1e6) {
		return policy.Problemf("Rate", "must be 0 (no limit) or from 0.01 to a million round trips a second, not %g", perSecond)
	}
	return nil
}

// Poller asks about orders. One pass runs at a time.
type Poller struct {
	Options

	apps     atomic.Pointer[[]*app]
	health   health
	breaker  *breaker
	fairness *fairness
	writing  *writing
	aside    *aside

	// A daemon asks no suspect before it has lived for a lease, or for maxYoung: processes that are
	// ended again and again, by whatever it is, must not make innocent orders poison.
	startedAt     time.Time
	suspectsAfter time.Duration
	retryFor      time.Duration // statements are tried again for so long while the database is away; less in tests
}

// New returns a poller, or everything that is wrong with the options.
func New(o Options) (*Poller, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Store == nil || o.Logger == nil || o.Worker == "" {
		return nil, errors.New("poller: store, logger and worker are required")
	}
	if o.Observer == nil {
		o.Observer = Unobserved{}
	}
	p := &Poller{
		Options:  o,
		breaker:  newBreaker(o.Store, o.Logger, o.Observer, o.RequestTimeout),
		fairness: newFairness(o.Concurrency),
		writing:  newWriting(o.Logger, o.Observer),
		aside:    newAside(o.Lease, o.Logger),

		startedAt: time.Now(), suspectsAfter: min(o.Lease, maxYoung),
		retryFor: writeTimeout,
	}
	return p, p.UseApps(o.Apps)
}

// Unobserved is an [Observer] that does nothing. Others embed it.
type Unobserved struct{}

// RoundTripSent does nothing.
func (Unobserved) RoundTripSent(string) {}

// Answered does nothing.
func (Unobserved) Answered(string, string) {}

// Decided does nothing.
func (Unobserved) Decided(order.Outcome) {}

// Recorded does nothing.
func (Unobserved) Recorded(order.Outcome) {}

// WriteFailed does nothing.
func (Unobserved) WriteFailed(string) {}

// BreakerMoved does nothing.
func (Unobserved) BreakerMoved(string, string) {}
