package soak_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/policy"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

const (
	requestTimeout = 200 * time.Millisecond
	appID          = "soak-app"
)

func credentials() chinaums.Credentials {
	return chinaums.Credentials{AppID: appID, AppKey: "soak-key"}
}

// plan is compressed where it can be; the clock jumps over the rest.
func plan() policy.Plan {
	return policy.Plan{
		Initial: 10 * time.Millisecond, Multiplier: 2, Max: 100 * time.Millisecond, Jitter: 0.1,
		SlowAfter: 24 * time.Hour, GiveUpAfter: 168 * time.Hour, NotFoundAfter: 2 * time.Hour,
	}
}

// life is one process with a poller, from its start to its end. It stands between
// the poller and its store and gateway, where it may die before, in and after
// every step: from then on nothing that the poller does reaches anyone.
type life struct {
	*store.Store

	w         *world
	name      string // in the ledger
	client    *chinaums.Client
	poller    *poller.Poller
	stopped   context.Context // as by SIGTERM
	stop      context.CancelFunc
	alive     context.Context // until it crashes
	crash     context.CancelFunc
	errors    float64 // chance of trouble at each step
	deaths    float64 // and of death
	lost      atomic.Int64
	endedAt   atomic.Int64 // crashed or stopped, in nanoseconds; 0: not yet
	deafUntil atomic.Int64 // it misses what the database replies; in nanoseconds

	mu     sync.Mutex
	rand   *rand.Rand
	writes writes
}

// errCrashed is final for the poller, which would try a transient error again.
var errCrashed = fmt.Errorf("crashed: %w", store.ErrOldSchema)

// errTrouble is transient.
var errTrouble = errors.New("the connection is gone")

// newLife starts a process; its poller is not yet running.
func (w *world) newLife(role string, workers int, errorRate, deathRate float64) *life {
	return w.newLifeWith(role, workers, errorRate, deathRate, requestTimeout)
}

func (w *world) newLifeWith(role string, workers int, errorRate, deathRate float64, timeout time.Duration) *life {
	w.mu.Lock()
	w.born++
	l := &life{
		w: w, name: fmt.Sprintf("%s-%d", role, w.born), errors: errorRate, deaths: deathRate,
		rand: rand.New(rand.NewPCG(w.seed, uint64(w.born))),
	}
	w.lives = append(w.lives, l)
	w.mu.Unlock()
	l.stopped, l.stop = context.WithCancel(context.Background())
	l.alive, l.crash = context.WithCancel(context.Background())
	context.AfterFunc(l.alive, l.stop)
	context.AfterFunc(l.alive, func() { l.endedAt.CompareAndSwap(0, time.Now().UnixNano()) })
	var err error
	if l.Store, err = store.Open(context.Background(), w.db.daemonURL); err != nil {
		panic(err)
	}
	l.client, err = chinaums.New(chinaums.Options{
		BaseURL: w.server.URL, Path: simulator.QueryPath, Credentials: credentials(), Timeout: timeout, Concurrency: workers,
	})
	if err != nil {
		panic(err)
	}
	l.poller, err = poller.New(poller.Options{
		Store: l, Apps: []poller.App{{AppID: appID, Gateway: l}}, Logger: slog.New(slog.DiscardHandler), Worker: l.name, Concurrency: workers, Rate: w.rate,
		RequestTimeout: timeout, Lease: poller.MinLease(timeout), Rules: policy.Rules{Plan: plan()},
	})
	if err != nil {
		panic(err)
	}
	return l
}

// run does passes until the life ends.
func (l *life) run() {
	defer l.end()
	for l.stopped.Err() == nil {
		l.pass(poller.Run{})
		sleep(l.stopped, 10*time.Millisecond)
	}
}

// pass fails as often as the store does; what it leaves undone is others' to do.
func (l *life) pass(run poller.Run) {
	summary, _ := l.poller.RunOnce(l.stopped, run)
	l.lost.Add(int64(summary.Unwritten))
}

func (l *life) end() {
	l.stop()
	l.endedAt.CompareAndSwap(0, time.Now().UnixNano())
	l.client.Close()
	l.Close()
}

func (l *life) isFair() bool { return strings.HasPrefix(l.name, "fair") }

func (l *life) crashed() bool { return l.alive.Err() != nil }

func (l *life) chance(p float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.Float64() < p
}

func (l *life) upTo(d time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.rand.Int64N(int64(d)))
}

// through takes one step to the database that a crash cuts off, and that meets
// trouble of its own: before it, after it when nobody hears that it is done, and
// in the midst of it when nobody knows.
func through[T any](ctx context.Context, l *life, step func(context.Context) (T, error)) (T, error) {
	var none T
	if l.chance(l.deaths) {
		l.crash()
	}
	if l.crashed() {
		return none, errCrashed
	}
	if l.chance(l.errors) {
		return none, errTrouble
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.alive, cancel)()
	if l.chance(l.errors) {
		torn := time.AfterFunc(l.upTo(3*time.Millisecond), cancel)
		defer torn.Stop()
	}
	done, err := step(ctx)
	if l.chance(l.deaths) {
		l.crash()
	}
	if l.crashed() {
		return none, errCrashed
	}
	if l.chance(l.errors) || time.Now().UnixNano() < l.deafUntil.Load() {
		return none, errTrouble
	}
	return done, err
}

// try is through for a step without a result.
func try(ctx context.Context, l *life, step func(context.Context) error) error {
	_, err := through(ctx, l, func(ctx context.Context) (struct{}, error) { return struct{}{}, step(ctx) })
	return err
}

// Claim and the other methods of the store go through life.
func (l *life) Claim(ctx context.Context, c store.Claim) (store.Page, error) {
	page, err := through(ctx, l, func(ctx context.Context) (store.Page, error) { return l.Store.Claim(ctx, c) })
	if err == nil {
		l.sawClaim(c, page)
	}
	return page, err
}

func (l *life) Release(ctx context.Context, orders []order.Order) error {
	return try(ctx, l, func(ctx context.Context) error { return l.Store.Release(ctx, orders) })
}

func (l *life) Record(ctx context.Context, group []order.Outcome) ([]store.Recorded, error) {
	recorded, err := through(ctx, l, func(ctx context.Context) ([]store.Recorded, error) { return l.Store.Record(ctx, group) })
	l.sawWrite(recorded, err)
	return recorded, err
}

func (l *life) RecordUnwritable(ctx context.Context, o order.Outcome, cause error) (store.Recorded, error) {
	return through(ctx, l, func(ctx context.Context) (store.Recorded, error) { return l.Store.RecordUnwritable(ctx, o, cause) })
}

func (l *life) Reserve(ctx context.Context, app string, rate float64) (time.Duration, error) {
	return through(ctx, l, func(ctx context.Context) (time.Duration, error) { return l.Store.Reserve(ctx, app, rate) })
}

func (l *life) PauseByBreaker(ctx context.Context, p store.BreakerPause) error {
	return try(ctx, l, func(ctx context.Context) error { return l.Store.PauseByBreaker(ctx, p) })
}

func (l *life) ResumeByBreaker(ctx context.Context, scope store.Scope, key string) (resumed bool, after time.Duration, err error) {
	err = try(ctx, l, func(ctx context.Context) (err error) {
		resumed, after, err = l.Store.ResumeByBreaker(ctx, scope, key)
		return err
	})
	return resumed, after, err
}

func (l *life) ReleaseProbe(ctx context.Context, scope store.Scope, key string) error {
	return try(ctx, l, func(ctx context.Context) error { return l.Store.ReleaseProbe(ctx, scope, key) })
}

func (l *life) ReleaseStray(ctx context.Context, worker string, inHand []int64) (int, error) {
	return through(ctx, l, func(ctx context.Context) (int, error) { return l.Store.ReleaseStray(ctx, worker, inHand) })
}

func (l *life) UncountClaims(ctx context.Context, orders []order.Order) error {
	return try(ctx, l, func(ctx context.Context) error { return l.Store.UncountClaims(ctx, orders) })
}

func (l *life) NotFoundEvidence(ctx context.Context, o order.Order, since time.Time) (order.Evidence, error) {
	return through(ctx, l, func(ctx context.Context) (order.Evidence, error) { return l.Store.NotFoundEvidence(ctx, o, since) })
}

// Query is a round trip, noted from its beginning to its end.
func (l *life) Query(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
	if l.chance(l.deaths / 2) {
		l.crash()
	}
	if l.crashed() {
		return chinaums.Answer{}, errCrashed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.alive, cancel)()
	key := r.MerOrderID
	if key == "" {
		key = r.TargetOrderID
	}
	l.sawQuestion()
	done := l.w.asking(l, numberOf(key))
	answer, err := l.client.Query(ctx, r)
	done()
	if l.chance(l.errors / 4) {
		panic("a round trip that panics")
	}
	if l.chance(l.deaths / 2) {
		l.crash()
	}
	if l.crashed() {
		return chinaums.Answer{}, errCrashed
	}
	return answer, err
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
