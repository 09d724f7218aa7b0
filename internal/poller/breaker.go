package poller

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"reconciler/internal/policy"
	"reconciler/internal/store"
)

const (
	// maxFailures is how many questions in a row must fail to open a breaker.
	maxFailures = 5
	// breakerPause is how long an open breaker refuses questions before it lets one probe through.
	breakerPause = 30 * time.Second
	// stillAliveMargin is added to the request timeout: an answer about another merchant within
	// that time shows that the gateway is alive.
	stillAliveMargin = 5 * time.Second
)

// breaker is the circuit breaker of every app id, and of every merchant. Its state is a row of
// gateway_controls, which all instances share: open is a row in force, half-open a row whose time
// is over and whose probe is allowed or under way, closed is no row. The claim's SQL obeys it.
//
// In memory are the failures in a row, and the time of the last opening: orders that were claimed
// before it are given back. While a pause is being shared, and where it could not be, it holds in
// this process alone.
//
// reportQuestion is the only place that opens and closes. allowsOrder is the only place that
// refuses.
type breaker struct {
	pauses   Pauses // nil: nothing is shared (a dry run)
	logger   *slog.Logger
	observer Observer
	aliveFor time.Duration

	mu        sync.Mutex
	apps      map[string]*appTrack
	merchants map[string]*track
}

// track is the memory about one app id or merchant.
type track struct {
	failures int       // questions in a row
	openedAt time.Time // claims that were sent before are not asked
	opening  bool      // its pause is being shared: claims do not see it yet
	until    time.Time // nothing is asked before; only of a pause that could not be shared
	ownUntil time.Time // the end of the latest pause that this process opened
}

// isHeld reports whether this process keeps its orders back, whatever the claims see. A run despite
// the pauses breaks those that it met, not those that its own questions opened: otherwise it asked
// a failing gateway about all its orders, each of them as the next probe.
func (t *track) isHeld(despitePause bool) bool {
	now := time.Now()
	return t.opening || now.Before(t.until) || despitePause && now.Before(t.ownUntil)
}

// appTrack also remembers the app's last usable answers, newest first: two about different orders,
// and two about different merchants.
type appTrack struct {
	track

	orders    [2]answerSeen[int64]
	merchants [2]answerSeen[string]
}

type answerSeen[K comparable] struct {
	about K
	at    time.Time
}

func newBreaker(pauses Pauses, logger *slog.Logger, observer Observer, requestTimeout time.Duration) *breaker {
	return &breaker{
		pauses: pauses, logger: logger, observer: observer, aliveFor: requestTimeout + stillAliveMargin,
		apps: make(map[string]*appTrack), merchants: make(map[string]*track),
	}
}

// withoutSharing is a fresh breaker that writes nothing.
func (b *breaker) withoutSharing() *breaker {
	return newBreaker(nil, b.logger, Unobserved{}, b.aliveFor-stillAliveMargin)
}

// isPaused reports whether this process alone keeps the app's orders back.
func (b *breaker) isPaused(appID string, despitePause bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.appTrack(appID).isHeld(despitePause)
}

// pausedMerchants lists the merchants whose orders this process alone keeps back.
func (b *breaker) pausedMerchants(despitePause bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var mids []string
	for mid, t := range b.merchants {
		if t.isHeld(despitePause) {
			mids = append(mids, mid)
		}
	}
	return mids
}

// allowsOrder reports whether a claimed order may be asked.
func (b *breaker) allowsOrder(c claimed) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.AppProbe {
		b.observer.BreakerMoved(string(store.ScopeApp), "half_open")
	}
	if c.MerchantProbe {
		b.observer.BreakerMoved(string(store.ScopeMerchant), "half_open")
	}
	merchant := b.merchants[c.MID]
	return b.appTrack(c.app.AppID).allowsOrder(c) && (merchant == nil || merchant.allowsOrder(c))
}

func (t *track) allowsOrder(c claimed) bool {
	return !c.sentAt.Before(t.openedAt) && !t.isHeld(false)
}

func (b *breaker) appTrack(appID string) *appTrack {
	if b.apps[appID] == nil {
		b.apps[appID] = &appTrack{}
	}
	return b.apps[appID]
}

func (b *breaker) merchantTrack(mid string) *track {
	if b.merchants[mid] == nil {
		b.merchants[mid] = &track{}
	}
	return b.merchants[mid]
}

// othersAnsweredAt is when the app last had a usable answer about another order; zero: never.
func (b *breaker) othersAnsweredAt(c claimed) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return lastAboutAnother(b.appTrack(c.app.AppID).orders, c.ID)
}

func lastAboutAnother[K comparable](seen [2]answerSeen[K], about K) time.Time {
	if seen[0].about != about {
		return seen[0].at
	}
	return seen[1].at
}

// rememberAnswer keeps the newest answer, and the newest one about something else.
func rememberAnswer[K comparable](seen *[2]answerSeen[K], about K) {
	if seen[0].about != about {
		seen[1] = seen[0]
	}
	seen[0] = answerSeen[K]{about, time.Now()}
}

// move is what a question does to a breaker.
type move int

const (
	stay         move = iota
	open              // refuse questions for a while
	resume            // the probe came back well
	releaseProbe      // the probe showed nothing: another one is allowed
)

// moves of the app's breaker and of the merchant's.
type moves struct {
	app, merchant move
	pause         time.Duration
	// The questions that each of them has cost since it opened last, where it opens.
	appLost, merchantLost int
}

// reportQuestion moves the breakers by what a question showed.
func (b *breaker) reportQuestion(ctx context.Context, c claimed, trouble policy.Trouble, last finalReply) {
	b.mu.Lock()
	m := b.judgeQuestion(c, trouble, last)
	b.mu.Unlock()
	b.applyMoves(ctx, c, m, last.cause)
}

// finalReply is what the breaker needs of a question's last reply.
type finalReply struct {
	cause      string
	retryAfter time.Duration // the gateway's own wish; 0: none
	overloaded bool          // HTTP 429
}

// asksForPause reports whether the gateway itself wants to be left alone, and says for how long.
func (f finalReply) asksForPause() bool { return f.overloaded && f.retryAfter > 0 }

func (b *breaker) judgeQuestion(c claimed, trouble policy.Trouble, last finalReply) moves {
	app := b.appTrack(c.app.AppID)
	m := moves{pause: breakerPause}
	if last.retryAfter > 0 {
		m.pause = last.retryAfter
	}
	if trouble == policy.GatewayFails && !last.asksForPause() && time.Since(lastAboutAnother(app.merchants, c.MID)) <= b.aliveFor {
		trouble = policy.MerchantFails // others are answered: it is this merchant's trouble
	}
	switch trouble {
	case policy.NoTrouble:
		app.failures = 0
		delete(b.merchants, c.MID)
		rememberAnswer(&app.orders, c.ID)
		rememberAnswer(&app.merchants, c.MID)
		m.app, m.merchant = resume, resume
	case policy.NothingLearned:
		m.app, m.merchant = releaseProbe, releaseProbe
	case policy.CredentialsRefused:
		m.app, m.merchant = open, releaseProbe
	case policy.GatewayFails:
		m.merchant = releaseProbe
		if app.failures++; app.failures >= maxFailures || c.AppProbe || last.asksForPause() {
			m.app = open
		}
	case policy.MerchantFails:
		app.failures = 0
		m.app = resume
		merchant := b.merchantTrack(c.MID)
		if merchant.failures++; merchant.failures >= maxFailures || c.MerchantProbe {
			m.merchant = open
		}
	case policy.MerchantRefused:
		app.failures = 0
		m.app, m.merchant = resume, open
	}
	return b.onlyOwn(c, m)
}

// onlyOwn leaves out what a question may not do: only a probe ends a pause, and a question that was
// under way when its breaker opened does not open it again.
func (b *breaker) onlyOwn(c claimed, m moves) moves {
	app, merchant := &b.appTrack(c.app.AppID).track, b.merchants[c.MID]
	if m.app != open && !c.AppProbe || c.sentAt.Before(app.openedAt) {
		m.app = stay
	}
	if m.merchant != open && !c.MerchantProbe || merchant != nil && c.sentAt.Before(merchant.openedAt) {
		m.merchant = stay
	}
	if m.app == open {
		m.appLost = app.trip()
	}
	if m.merchant == open {
		m.merchantLost = b.merchantTrack(c.MID).trip()
	}
	return m
}

// trip opens, and returns the failures until now.
func (t *track) trip() (lost int) {
	lost, t.failures, t.openedAt, t.opening = t.failures, 0, time.Now(), true
	return lost
}

// applyMoves shares the moves with the other instances, and says once what has changed.
func (b *breaker) applyMoves(ctx context.Context, c claimed, m moves, cause string) {
	app := store.BreakerPause{Scope: store.ScopeApp, Key: c.app.AppID, Cause: cause, For: m.pause, QuestionsLost: m.appLost}
	b.applyMove(ctx, c, m.app, app, c.AppProbe)
	merchant := store.BreakerPause{Scope: store.ScopeMerchant, Key: c.MID, Cause: cause, For: m.pause, QuestionsLost: m.merchantLost}
	b.applyMove(ctx, c, m.merchant, merchant, c.MerchantProbe)
}

func (b *breaker) applyMove(ctx context.Context, c claimed, m move, pause store.BreakerPause, probe bool) {
	scope, key := pause.Scope, pause.Key
	pause.FailedOrderID, pause.FailedMID = c.ID, c.MID
	name := slog.String(map[store.Scope]string{store.ScopeApp: "app_id", store.ScopeMerchant: "mid"}[scope], key)
	switch m {
	case open:
		shared := b.shareMove(ctx, scope, key, func(ctx context.Context, p Pauses) error {
			return p.PauseByBreaker(ctx, pause)
		})
		b.noteOpened(scope, key, shared, pause.For)
		b.observer.BreakerMoved(string(scope), "open")
		if !probe {
			b.logger.LogAttrs(ctx, slog.LevelError, "gateway paused", name,
				slog.String("cause", pause.Cause), slog.Time("until", time.Now().Add(pause.For)))
		}
	case resume:
		b.shareMove(ctx, scope, key, func(ctx context.Context, p Pauses) error {
			resumed, after, err := p.ResumeByBreaker(ctx, scope, key)
			if resumed {
				b.observer.BreakerMoved(string(scope), "closed")
				b.logger.LogAttrs(ctx, slog.LevelInfo, "gateway answers again", name, slog.Duration("after", after))
			}
			return err
		})
	case releaseProbe:
		b.shareMove(ctx, scope, key, func(ctx context.Context, p Pauses) error { return p.ReleaseProbe(ctx, scope, key) })
	}
}

// shareMove writes a move, also when the question's own time is over. A failure is logged and no
// more: the pauses end by themselves.
func (b *breaker) shareMove(ctx context.Context, scope store.Scope, key string, write func(context.Context, Pauses) error) (shared bool) {
	if b.pauses == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeMargin)
	defer cancel()
	err := write(ctx, b.pauses)
	if err != nil {
		b.logger.LogAttrs(ctx, slog.LevelWarn, "a pause could not be shared",
			slog.String("scope", string(scope)), slog.String("key", key), slog.Any("error", err))
	}
	return err == nil
}

// noteOpened counts the pause from the moment when the other claims can see it.
func (b *breaker) noteOpened(scope store.Scope, key string, shared bool, pause time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.merchants[key]
	if scope == store.ScopeApp {
		t = &b.appTrack(key).track
	}
	if t == nil {
		return // answered well meanwhile
	}
	t.openedAt, t.opening = time.Now(), false
	t.ownUntil = t.openedAt.Add(pause)
	if !shared {
		t.until = t.ownUntil
	}
}

// releaseProbes lets others probe: these orders are given back without a question.
func (b *breaker) releaseProbes(ctx context.Context, orders []claimed) {
	for _, c := range orders {
		if c.AppProbe {
			b.applyMove(ctx, c, releaseProbe, store.BreakerPause{Scope: store.ScopeApp, Key: c.app.AppID}, true)
		}
		if c.MerchantProbe {
			b.applyMove(ctx, c, releaseProbe, store.BreakerPause{Scope: store.ScopeMerchant, Key: c.MID}, true)
		}
	}
}
