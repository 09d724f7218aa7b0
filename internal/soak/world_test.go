package soak_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/poller"
)

// world is one round's: an empty database, a gateway, and those who act on them.
type world struct {
	t      *testing.T
	db     *database
	seed   uint64
	rand   *rand.Rand // the driver's; nobody else touches it
	sim    *simulator.Simulator
	server *httptest.Server
	rate   float64

	scripts       []*script
	byNumber      map[string]*script
	interventions int
	byHand        sync.WaitGroup  // run-once and slow transactions under way
	chaosOver     context.Context // nothing is interfered with any more
	broken        sync.Mutex      // while a trouble of the database lasts
	poison        int
	overtakers    int  // of a healthy merchant's order, at most
	fairVoid      bool // the machine was too slow to tell

	mu    sync.Mutex
	born  int
	lives []*life
	trips []*trip
	moods map[string]mood // of merchants
}

// trip is one round trip.
type trip struct {
	life       *life
	number     string // of the order
	began, end time.Time
}

func newWorld(t *testing.T, db *database, seed uint64) *world {
	t.Helper()
	db.empty(t)
	sim, err := simulator.New(simulator.Options{Credentials: []chinaums.Credentials{credentials()}, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	w := &world{
		t: t, db: db, seed: seed, rand: r, sim: sim, moods: make(map[string]mood),
		rate: pick(r, 0, 0, 500.0), byNumber: make(map[string]*script),
	}
	w.server = httptest.NewServer(gateway{sim, w.moodOf})
	return w
}

func (w *world) close() {
	w.sim.Close()
	w.server.Close()
}

// asking notes a round trip; its end is told to the result.
func (w *world) asking(l *life, number string) (done func()) {
	at := &trip{life: l, number: number, began: time.Now()}
	w.mu.Lock()
	w.trips = append(w.trips, at)
	w.mu.Unlock()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		at.end = time.Now()
	}
}

// slot keeps one poller alive: when it ends, another one takes over.
type slot struct {
	w    *world
	mu   sync.Mutex
	life *life
}

func (s *slot) run(ctx context.Context) {
	for ctx.Err() == nil {
		l := s.w.newLife("daemon", 6, 0.01, 0.005)
		s.mu.Lock()
		s.life = l
		s.mu.Unlock()
		release := context.AfterFunc(ctx, l.stop)
		l.run()
		release()
	}
}

func (s *slot) present() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// settleDust ends all interference and asks until nothing but age could end the
// orders that are left; then it lets them age. Whatever a dead poller still holds
// ends with its lease, and nothing else does.
func (w *world) settleDust() {
	w.calm()
	exec(w.t, w.db.clock, `TRUNCATE soak_rules`)
	w.untilQuiet("settled", func(s *script) bool { return !s.endless() })
	for range 3 { // three NO_ORDER answers of an expired order, with others found lately
		w.jump(3*time.Hour, 0)
		w.settlePass(poller.Run{}, poller.Run{Once: true})
	}
	w.jump(plan().GiveUpAfter+time.Hour, 0)
	w.untilQuiet("settled or given to a person", func(*script) bool { return true })
}

// calm ends what may keep orders from being asked about.
func (w *world) calm() {
	if err := w.sim.SetOutage(); err != nil {
		w.t.Fatal(err)
	}
	w.sim.SetEntitled(appID, true)
	for _, mid := range merchants() {
		if err := w.sim.SetMerchant(simulator.Merchant{MID: mid}); err != nil {
			w.t.Fatal(err)
		}
		w.changeMood(mid, moodWell)
	}
}

// untilQuiet asks until no order that matters has anything to come. ORDER_PROCESSING does not end a
// late check: where nothing else comes, a NOT_FOUND order is asked daily.
func (w *world) untilQuiet(what string, matters func(*script) bool) {
	w.t.Helper()
	processing := []string{}
	for _, s := range w.scripts {
		if s.isProcessing() {
			processing = append(processing, s.number)
		}
	}
	var left []string
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); {
		left = nil
		for _, number := range rows(w.t, w.db.clock, pgx.RowTo[string], `
			SELECT substr(coalesce(mer_order_id, target_order_id), 5, 8) FROM orders
			WHERE review_reason IS NULL
			  AND (status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY') OR (status = 'NOT_FOUND' AND next_query_at IS NOT NULL
			       AND substr(coalesce(mer_order_id, target_order_id), 5, 8) <> ALL ($1)))
			ORDER BY id`, processing) {
			if matters(w.byNumber[number]) {
				left = append(left, number)
			}
		}
		if len(left) == 0 {
			return
		}
		w.settlePass(poller.Run{}, poller.Run{Once: true})
	}
	w.report(left[0], "never quiet: %d orders are not "+what+", such as", len(left))
}

// settlePass brings everything that has a time due and lets new pollers ask, one for each run. A
// daemon asks no suspect in its first lease, so one of them has to be a run-once.
func (w *world) settlePass(runs ...poller.Run) {
	exec(w.t, w.db.person, `DELETE FROM gateway_controls`)
	exec(w.t, w.db.clock, `UPDATE orders SET next_query_at = now() WHERE next_query_at > now()`)
	exec(w.t, w.db.clock, `UPDATE orders SET lease_until = now() WHERE lease_until > now()`)
	var all sync.WaitGroup
	for _, run := range runs {
		all.Go(func() {
			l := w.newLife("last", 24, 0, 0)
			defer l.end()
			l.pass(run)
		})
	}
	all.Wait()
}

// jump lets time pass, for everything at once. It waits so long for sessions that hold rows; 0: as
// long as it takes; then none passes.
func (w *world) jump(d, wait time.Duration) {
	w.t.Helper()
	err := pgx.BeginFunc(context.Background(), w.db.clock, func(tx pgx.Tx) error {
		_, err := tx.Exec(context.Background(), fmt.Sprintf(
			`SET LOCAL lock_timeout = %d; LOCK TABLE orders IN EXCLUSIVE MODE; SET LOCAL lock_timeout = 0`, wait.Milliseconds()))
		if err != nil { // with the lock, the clock and a poller never wait for each other
			return err
		}
		for _, sql := range []string{
			`UPDATE orders SET created_at = created_at - $1::interval, expires_at = expires_at - $1::interval, next_query_at = next_query_at - $1::interval,
				last_queried_at = last_queried_at - $1::interval, lease_until = lease_until - $1::interval`,
			// A row that may be written again, because its writer missed the reply, is known by its
			// time.
			`UPDATE order_queries SET queried_at = queried_at - $1::interval, next_query_at = next_query_at - $1::interval
				WHERE soak_at < clock_timestamp() - interval '15 seconds' OR $1::interval > interval '100 hours'`,
			`UPDATE gateway_budgets SET refilled_at = refilled_at - $1::interval`,
			`UPDATE gateway_controls SET paused_until = paused_until - $1::interval, probe_until = probe_until - $1::interval`,
		} {
			if _, err := tx.Exec(context.Background(), sql, d); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
	var pgErr *pgconn.PgError
	if err != nil && (!errors.As(err, &pgErr) || pgErr.Code != "55P03") {
		w.t.Fatal(err)
	}
}

// report fails the test with all that is known of an order.
func (w *world) report(number, format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format+" %s", append(args, number)...)
	if s := w.byNumber[number]; s != nil {
		w.t.Logf("script: mid %s mer %s target %s (row holds %t, %t) amount %d", s.mid, s.mer, s.target, s.holdsMer, s.holdsTarget, s.amount)
		for _, a := range s.steps {
			w.t.Logf("  %+v", a)
		}
	}
	for _, line := range rows(w.t, w.db.clock, pgx.RowTo[string], `
		SELECT line FROM (
			SELECT at, 0 AS n, concat_ws(' ', to_char(at, 'MI:SS.US'), 'row by', who, 'tx', xid, (n).status, 'review', coalesce((n).review_reason, '-'), 'claim', (n).claim_no,
				coalesce((n).claimed_by, '-'), 'unrecorded', (n).unrecorded_claims, 'count', (n).query_count, 'lease', coalesce(to_char((n).lease_until - at, 'HH24:MI:SS.MS'), '-'),
				'next', coalesce(((n).next_query_at - at)::text, 'never'), 'age', at - (n).created_at, 'total', (n).total_amount) AS line
			FROM soak_history WHERE (who <> 'clock' OR (o).lease_until IS NOT NULL) AND id = (SELECT h.id FROM soak_history h WHERE h.number = $1 LIMIT 1)
			UNION ALL
			SELECT h.at, 1, concat_ws(' ', '    ledger tx', soak_xid, 'claim', claim_no, worker, http_status, err_code, trade_status, '->', decision, reason, 'trips', round_trips, duration_ms, 'ms')
			FROM order_queries q CROSS JOIN LATERAL (SELECT coalesce(max(at), '-infinity') AS at FROM soak_history h WHERE h.xid <= q.soak_xid) h
			WHERE order_id = (SELECT h.id FROM soak_history h WHERE h.number = $1 LIMIT 1)
			UNION ALL
			SELECT h.at, 2, concat_ws(' ', '    event tx', soak_xid, event)
			FROM order_events e CROSS JOIN LATERAL (SELECT coalesce(max(at), '-infinity') AS at FROM soak_history h WHERE h.xid <= e.soak_xid) h
			WHERE order_id = (SELECT h.id FROM soak_history h WHERE h.number = $1 LIMIT 1)
		) AS lines ORDER BY at, n, line`, number) {
		w.t.Log(line)
	}
}

func (w *world) tally() tally {
	a := tally{orders: len(w.scripts), roundTrips: len(w.trips), lives: len(w.lives), interventions: w.interventions}
	for _, l := range w.lives {
		if l.crashed() {
			a.crashes++
		}
		a.vain += l.writes.asked
	}
	a.poison = w.poison
	count := func(where string) int {
		return one[int](w.t, w.db.clock, `SELECT count(*) FROM order_queries WHERE `+where)
	}
	a.questions, a.settled = count(`true`), count(`decision = 'settled'`)
	a.reviews, a.superseded = count(`decision = 'review'`), count(`decision = 'superseded'`)
	return a
}
