package main_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/store/storetest"
)

// The shortest round trips that a busy machine keeps to, and the shortest lease that goes with
// them.
const (
	shortTimeout = "RECONCILER_REQUEST_TIMEOUT=1s"
	shortLease   = "RECONCILER_LEASE=9200ms"
)

// backlog holds orders of many fates, and how each has to end. Faults happen while it is asked.
type backlog struct {
	numbers []string          // as they were inserted
	truth   map[string]string // by number: the status, and the review's reason after a slash
}

// fate is the life of some payments at the gateway, and the end that their orders must have.
type fate struct {
	share int // of ten
	truth string
	life  []simulator.Step
}

// mixedFates are answered after delay.
func mixedFates(delay time.Duration) []fate {
	return []fate{
		{5, "TRADE_SUCCESS/", []simulator.Step{{Status: chinaums.StatusTradeSuccess, Delay: delay}}},
		{2, "TRADE_SUCCESS/", []simulator.Step{
			{Status: chinaums.StatusWaitBuyerPay, Delay: delay, Times: 1},
			{Status: chinaums.StatusTradeSuccess, Delay: delay},
		}},
		{1, "TRADE_CLOSED/", []simulator.Step{{Status: chinaums.StatusTradeClosed, Delay: delay}}},
		{1, "TRADE_REFUND/", []simulator.Step{{Status: chinaums.StatusTradeRefund, Delay: delay}}},
		{1, "UNKNOWN/amount_mismatch", []simulator.Step{{Status: chinaums.StatusTradeSuccess, Delay: delay, Amount: new(int64(amount + 1))}}},
	}
}

// backlog makes n orders of mixed fates, each answered after delay.
func (w *world) backlog(t *testing.T, n int, delay time.Duration) backlog {
	t.Helper()
	b := backlog{truth: make(map[string]string)}
	for _, fate := range mixedFates(delay) {
		for _, number := range w.register(t, mid, n*fate.share/10, fate.life...) {
			b.numbers = append(b.numbers, number)
			b.truth[number] = fate.truth
		}
	}
	rand.Shuffle(len(b.numbers), func(i, j int) { b.numbers[i], b.numbers[j] = b.numbers[j], b.numbers[i] })
	w.insert(t, mid, b.numbers...)
	return b
}

// await waits until every order has come to its end, right or wrong.
func (b backlog) await(t *testing.T, w *world) {
	t.Helper()
	storetest.Eventually(t, patience, "every order is settled or under review, and nothing in flight", func() bool { return b.isDone(t, w) })
}

func (b backlog) isDone(t *testing.T, w *world) bool {
	t.Helper()
	return scan[int](t, w, `
		SELECT count(*) FROM orders
		WHERE lease_until IS NOT NULL OR status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY') AND review_reason IS NULL`) == 0
}

// awaitUnpaused is await for a gateway that is or was in trouble: each pause of a breaker ends as
// soon as it is seen.
func (b backlog) awaitUnpaused(t *testing.T, w *world, limit time.Duration) {
	t.Helper()
	storetest.Eventually(t, limit, "every order is settled or under review, and nothing in flight", func() bool {
		w.shortenPauses(t, breakerPause)
		return b.isDone(t, w)
	})
}

// shortenPauses brings the end of the breakers' pauses nearer, so that no test waits for them.
func (w *world) shortenPauses(t *testing.T, by time.Duration) {
	t.Helper()
	w.exec(t, `UPDATE gateway_controls SET paused_until = paused_until - $1::interval WHERE set_by = 'breaker' AND paused_until > now()`, by)
}

// check says that nothing was lost and nothing happened twice. Every order is as the gateway has
// it, with one event. One row in the ledger decided it, and each claim has one row at most.
func (b backlog) check(t *testing.T, w *world) {
	t.Helper()
	got := make(map[string]string)
	for _, row := range column[string](t, w, `SELECT mer_order_id || ' ' || status || '/' || coalesce(review_reason, '') FROM orders`) {
		number, end, _ := strings.Cut(row, " ")
		got[number] = end
	}
	if diff := cmp.Diff(b.truth, got); diff != "" {
		t.Errorf("the truth, what became of the orders (-want +got):\n%s", diff)
	}
	for what, sql := range map[string]string{
		"are paid, but not with their amount": `SELECT mer_order_id FROM orders
			WHERE status IN ('TRADE_SUCCESS', 'TRADE_REFUND') AND total_amount IS DISTINCT FROM order_amount`,
		"have not one event": `SELECT o.mer_order_id || ': ' || count(e.id)
			FROM orders o LEFT JOIN order_events e ON e.order_id = o.id GROUP BY o.id HAVING count(e.id) <> 1`,
		"have not one row in the ledger that decided them": `SELECT o.mer_order_id || ': ' || count(q.id)
			FROM orders o LEFT JOIN order_queries q ON q.order_id = o.id AND q.decision IN ('settled', 'review')
			GROUP BY o.id HAVING count(q.id) <> 1`,
		"have two rows in the ledger for one claim": `SELECT order_id || ' claim ' || claim_no || ': ' || string_agg(decision, ', ')
			FROM order_queries GROUP BY order_id, claim_no HAVING count(*) > 1`,
	} {
		if bad := column[string](t, w, sql); len(bad) > 0 {
			t.Errorf("%d orders %s: %q", len(bad), what, bad[:min(10, len(bad))])
		}
	}
	if !t.Failed() {
		t.Logf("%d orders: 0 lost, 0 twice; %d round trips, ledger: %s", len(b.numbers), w.Total(), w.decisions(t))
	}
}

// decisions counts the ledger's rows.
func (w *world) decisions(t *testing.T) string {
	t.Helper()
	counts := make(map[string]int)
	for _, decision := range column[string](t, w, `SELECT decision FROM order_queries`) {
		counts[decision]++
	}
	var all []string
	for _, decision := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", decision, counts[decision]))
	}
	return strings.Join(all, ", ")
}

// leases is how many orders are claimed.
func (w *world) leases(t *testing.T) int {
	t.Helper()
	return scan[int](t, w, `SELECT count(*) FROM orders WHERE lease_until IS NOT NULL`)
}

// moveTo leaves the world's database for another one.
func (w *world) moveTo(t *testing.T, url string) {
	t.Helper()
	w.url = url
	w.set("DATABASE_URL=" + url)
	w.reconnect(t)
}

// reconnect is the application's way through an outage of its database.
func (w *world) reconnect(t *testing.T) {
	t.Helper()
	var last error
	eventually(t, "the database can be reached", func() bool {
		conn, err := pgx.Connect(t.Context(), w.url)
		if err != nil {
			last = errors.Join(last, err)
			return false
		}
		conn.Close(t.Context())
		return true
	})
	w.conn = storetest.Connect(t, w.url)
	if last != nil {
		t.Log("meanwhile: ", strings.SplitN(last.Error(), "\n", 2)[0])
	}
}

// busiest is the most round trips that any stretch of that length saw.
func busiest(requests []simulator.Request, window time.Duration) (most int) {
	times := make([]time.Time, len(requests))
	for i, r := range requests {
		times[i] = r.Time
	}
	slices.SortFunc(times, time.Time.Compare)
	end := 0
	for begin := range times {
		for end < len(times) && times[end].Sub(times[begin]) < window {
			end++
		}
		most = max(most, end-begin)
	}
	return most
}

// wantRate checks that no five seconds saw more than the budget gave: the rate, and a burst of a
// fifth of a second. To that come the orders that all processes could have claimed before and not
// yet asked.
func wantRate(t *testing.T, requests []simulator.Request, rate, maxInHand int) {
	t.Helper()
	const window = 5 * time.Second
	most := busiest(requests, window)
	limit := rate*int(window.Seconds()) + rate/5 + maxInHand
	if most > limit {
		t.Errorf("%d round trips within %v, want at most %d", most, window, limit)
	}
}
