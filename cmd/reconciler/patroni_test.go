package main_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/store/storetest"
)

// A shop takes payments, a consumer reads events and two daemons settle orders while the primary
// changes three times: a switchover, a killed server, a killed node. `make patroni` runs it, with
// the daemon's and Patroni's own times.
func TestPatroni(t *testing.T) {
	if os.Getenv("RECONCILER_PATRONI") == "" {
		t.Skip("takes some minutes: make patroni")
	}
	w := newWorld(t)
	c := newPatroni(t, scan[string](t, w, `SELECT setting FROM pg_config WHERE name = 'BINDIR'`))
	w.moveTo(t, c.url())
	if _, err := storetest.Open(t, w.url).MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.unset("RECONCILER_REQUEST_TIMEOUT", "RECONCILER_LEASE", "RECONCILER_SCHEDULE", "RECONCILER_RATE")
	p, q := w.start(t, "run"), w.start(t, "run")
	shop := openShop(t, w)

	for _, fault := range []struct {
		name string
		do   func(*patroniNode)
	}{
		{"switchover", func(*patroniNode) { c.switchOver(t) }},
		{"the primary's server killed", func(n *patroniNode) { c.killServer(t, n) }},
		{"the primary's node killed", func(n *patroniNode) { c.killNode(t, n) }},
	} {
		shop.awaitSettled(t, w, 40)
		before, began := c.leader(t), time.Now()
		fault.do(before)
		shop.awaitWritten(t, began)
		w.reconnect(t)
		shop.awaitSettled(t, w, 40)
		written := longestStandstill(began, shop.written())
		settled := longestStandstill(began, column[time.Time](t, w, `SELECT created_at FROM order_events WHERE created_at > $1 ORDER BY 1`, began))
		t.Logf("%s: the shop could not write for %v, until %v after it; no order was settled for %v, until %v after it",
			fault.name, written.length, written.end, settled.length, settled.end)
		if !before.process.running() {
			c.start(t, before)
		}
		c.awaitWhole(t)
		w.reconnect(t)
	}
	b := shop.close(t)
	b.await(t, w)
	p.stop(t)
	q.stop(t)
	b.check(t, w)
	shop.wantToldOnce(t, w, b)
}

// standstill is a time in which nothing happened, and its end since the fault.
type standstill struct{ length, end time.Duration }

func longestStandstill(since time.Time, times []time.Time) (longest standstill) {
	last := since
	for _, at := range times {
		if at.Before(since) {
			continue
		}
		if length := at.Sub(last).Round(10 * time.Millisecond); length > longest.length {
			longest = standstill{length, at.Sub(since).Round(10 * time.Millisecond)}
		}
		last = at
	}
	return longest
}

// patroniShop inserts a payment every 50 ms and tries again where the database is away, as an
// application with a form to show does. Beside it a consumer reads and acknowledges events.
type patroniShop struct {
	stop func()
	done sync.WaitGroup

	mu        sync.Mutex
	backlog   backlog
	confirmed []time.Time              // of each insert
	told      map[string]map[int64]int // by number: event ids, and how often each was read
	errs      []error
}

func openShop(t *testing.T, w *world) *patroniShop {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &patroniShop{stop: stop, backlog: backlog{truth: make(map[string]string)}, told: make(map[string]map[int64]int)}
	storetest.Exec(t, w.conn, `SELECT register_order_events('shop', true)`)
	s.done.Go(func() { s.sell(ctx, w) })
	s.done.Go(func() { s.listen(ctx, w) })
	t.Cleanup(func() { stop(); s.done.Wait() })
	return s
}

func (s *patroniShop) sell(ctx context.Context, w *world) {
	conn := &roaming{url: w.url}
	defer conn.close()
	fates := mixedFates(5 * time.Millisecond)
	var dealt []fate
	for _, f := range fates {
		for range f.share {
			dealt = append(dealt, f)
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		number, f := fmt.Sprintf("3194%08d", n), dealt[n%len(dealt)]
		if err := w.AddOrder(simulator.Order{MID: mid, TID: tid, MerOrderID: number, Amount: amount, Timeline: f.life}); err != nil {
			s.fail(err)
			return
		}
		for !conn.try(ctx, func(c *pgx.Conn) error {
			_, err := c.Exec(ctx, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, $2, $3, $4)
				ON CONFLICT (mid, mer_order_id) DO NOTHING`, mid, tid, number, amount)
			return err
		}) {
			if ctx.Err() != nil {
				return
			}
		}
		s.sold(number, f)
	}
}

func (s *patroniShop) sold(number string, f fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backlog.numbers = append(s.backlog.numbers, number)
	s.backlog.truth[number] = f.truth
	s.confirmed = append(s.confirmed, time.Now())
}

func (s *patroniShop) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// listen handles an event before it acknowledges it, so it may see one twice.
func (s *patroniShop) listen(ctx context.Context, w *world) {
	conn := &roaming{url: w.url}
	defer conn.close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		conn.try(ctx, func(c *pgx.Conn) error { return s.read(ctx, c) })
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (s *patroniShop) read(ctx context.Context, conn *pgx.Conn) error {
	type event struct {
		Xact       string
		ID         int64
		MerOrderID string
	}
	rows, err := conn.Query(ctx, `SELECT xact::text, id, mer_order_id FROM next_order_events('shop', 1000)`)
	if err != nil {
		return err
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
	if err != nil || len(events) == 0 {
		return err
	}
	s.mu.Lock()
	for _, e := range events {
		if s.told[e.MerOrderID] == nil {
			s.told[e.MerOrderID] = make(map[int64]int)
		}
		s.told[e.MerOrderID][e.ID]++
	}
	s.mu.Unlock()
	last := events[len(events)-1]
	_, err = conn.Exec(ctx, `SELECT ack_order_events('shop', $1::text::xid8, $2)`, last.Xact, last.ID)
	return err
}

// awaitSettled waits until so many more orders have come to an end.
func (s *patroniShop) awaitSettled(t *testing.T, w *world, more int) {
	t.Helper()
	events := func() int { return scan[int](t, w, `SELECT count(*) FROM order_events`) }
	until := events() + more
	eventually(t, "orders are settled", func() bool { return events() >= until })
}

// awaitWritten waits for the first payment that is confirmed a second or more after the fault: one
// that the old primary confirmed in its last moments does not count.
func (s *patroniShop) awaitWritten(t *testing.T, fault time.Time) {
	t.Helper()
	eventually(t, "the shop can write", func() bool {
		times := s.written()
		return times[len(times)-1].Sub(fault) > time.Second
	})
}

func (s *patroniShop) written() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.confirmed)
}

// close ends sales. The consumer goes on until the test ends.
func (s *patroniShop) close(t *testing.T) backlog {
	t.Helper()
	s.stop()
	s.done.Wait()
	if len(s.errs) > 0 {
		t.Fatal(s.errs)
	}
	return s.backlog
}

// wantToldOnce reads the rest of the events, and checks that each order's one event was read.
func (s *patroniShop) wantToldOnce(t *testing.T, w *world, b backlog) {
	t.Helper()
	repeated := 0
	if err := s.read(t.Context(), w.conn); err != nil {
		t.Fatal(err)
	}
	for _, number := range b.numbers {
		if len(s.told[number]) != 1 {
			t.Errorf("order %s: the consumer read the events %v, want one", number, s.told[number])
		}
		for _, times := range s.told[number] {
			repeated += times - 1
		}
	}
	t.Logf("the consumer read %d events, %d of them twice", len(b.numbers), repeated)
}

// roaming is an application's connection: after an error it connects again, to whichever node can
// be written to.
type roaming struct {
	url  string
	conn *pgx.Conn
}

// try reports whether the work was done.
func (r *roaming) try(ctx context.Context, work func(*pgx.Conn) error) bool {
	err := error(nil)
	if r.conn == nil {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		r.conn, err = pgx.Connect(attempt, r.url)
		cancel()
	}
	if err == nil {
		err = work(r.conn)
	}
	if err == nil {
		return true
	}
	r.close()
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
	return false
}

func (r *roaming) close() {
	if r.conn != nil {
		_ = r.conn.Close(context.Background())
		r.conn = nil
	}
}
