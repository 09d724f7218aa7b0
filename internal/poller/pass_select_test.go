package poller

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// asked collects which orders a gateway is asked about.
type asked struct {
	w *world

	mu   sync.Mutex
	mers []string
}

func (a *asked) Query(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
	a.mu.Lock()
	a.mers = append(a.mers, r.MerOrderID)
	a.mu.Unlock()
	return a.w.client.Query(ctx, r)
}

func (a *asked) sorted() []string { return slices.Sorted(slices.Values(a.mers)) }

// mixed has one order of each state that a selection may or may not take.
func mixed(t *testing.T, w *world) {
	t.Helper()
	for i, change := range []string{
		0:  ``,                                                                // due
		1:  `next_query_at = now() + interval '1 hour'`,                       // not due yet
		2:  `status = 'WAIT_BUYER_PAY'`,                                       // due
		3:  `status = 'NOT_FOUND', next_query_at = NULL`,                      // late check done
		4:  `status = 'NOT_FOUND', next_query_at = now() + interval '1 hour'`, // late check to come
		5:  `review_reason = 'amount_mismatch', next_query_at = NULL`,
		6:  `review_reason = 'query_window_over', status = 'NEW_ORDER', next_query_at = NULL`,
		7:  `lease_until = now() + interval '1 min', claimed_by = 'another'`,                               // in flight
		8:  `lease_until = now() + interval '1 min', claimed_by = 'another', review_reason = 'unwritable'`, // in flight, under review
		9:  `status = 'TRADE_SUCCESS', review_reason = 'conflict'`,                                         // for a person alone
		10: `status = 'TRADE_CLOSED'`,
		11: `created_at = now() - interval '3 days', expires_at = now() - interval '2 days'`,
	} {
		mid := testMID
		if i == 2 {
			mid = otherMID
		}
		w.addOf(t, mid, i, isPaidStep)
		if change != "" {
			w.exec(t, `UPDATE orders SET `+change+` WHERE mer_order_id = $1`, mer(i))
		}
	}
}

func TestSelections(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) *time.Time { return new(time.Now().Add(-d)) }
	for _, tt := range []struct {
		name string
		run  Run
		want []int
	}{
		{"none: what is due", Run{}, []int{0, 2, 11}},
		{"none: what is due, limited", Run{Limit: 2}, []int{0, 2}},
		{"all", Run{Selection: &store.Selection{}}, []int{0, 1, 2, 3, 4, 11}},
		{"all, limited", Run{Selection: &store.Selection{}, Limit: 3}, []int{0, 1, 2}},
		{"all and those under review", Run{Selection: &store.Selection{Review: true}}, []int{0, 1, 2, 3, 4, 5, 6, 11}},
		{"only those under review", Run{Selection: &store.Selection{OnlyReview: true}}, []int{5, 6}},
		{"by number", Run{Selection: &store.Selection{MerOrderIDs: []string{mer(1), mer(4), mer(5), mer(7), mer(10), "nosuchorder"}}}, []int{1, 4}},
		{"by number, under review too", Run{Selection: &store.Selection{MerOrderIDs: []string{mer(1), mer(5), mer(8)}, Review: true}}, []int{1, 5}},
		{"by merchant", Run{Selection: &store.Selection{MID: otherMID}}, []int{2}},
		{"by another merchant", Run{Selection: &store.Selection{MID: "999999999999999"}}, nil},
		{"created since", Run{Selection: &store.Selection{CreatedSince: ago(time.Hour)}}, []int{0, 1, 2, 3, 4}},
		{"created until", Run{Selection: &store.Selection{CreatedUntil: ago(time.Hour)}}, []int{11}},
		{"created between", Run{Selection: &store.Selection{CreatedSince: ago(100 * time.Hour), CreatedUntil: ago(time.Hour)}}, []int{11}},
		{"the flags narrow each other", Run{Selection: &store.Selection{MerOrderIDs: []string{mer(0), mer(2)}, MID: otherMID, CreatedSince: ago(time.Hour)}}, []int{2}},
		{"to nothing", Run{Selection: &store.Selection{MerOrderIDs: []string{mer(0)}, MID: otherMID}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mixed(t, w)
			var want []string
			for _, n := range tt.want {
				want = append(want, mer(n))
			}
			slices.Sort(want)

			// A dry run asks about the same and writes nothing at all.
			before := w.dump(t)
			dry := &asked{w: w}
			run := tt.run
			run.DryRun = true
			p := w.poller(t, workers(2), asking(dry), at(1000))
			if n, err := p.Count(t.Context(), run); err != nil || n != len(want) {
				t.Errorf("Count = %d, %v; want %d", n, err, len(want))
			}
			decided := sweep(t, p, run)
			if diff := cmp.Diff(want, dry.sorted()); diff != "" {
				t.Errorf("dry run asked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, w.dump(t)); diff != "" {
				t.Errorf("dry run wrote (-before +after):\n%s", diff)
			}

			real := &asked{w: w}
			summary := sweep(t, w.poller(t, workers(2), asking(real)), tt.run)
			if diff := cmp.Diff(want, real.sorted()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(summary.Decisions, decided.Decisions); diff != "" {
				t.Errorf("decisions (-real +dry):\n%s", diff)
			}
			for _, n := range tt.want {
				w.wantState(t, n, rowPaid) // no longer under review
			}
		})
	}
}

// A limited run takes the orders that are due longest, and a dry run the same.
func TestLimitedRunTakesTheOldest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for i := range 30 {
		w.add(t, i, isPaidStep)
		if i < 10 {
			want = append(want, mer(i))
		}
	}
	for _, run := range []Run{{Limit: 10, DryRun: true}, {Limit: 10}} {
		g := &asked{w: w}
		sweep(t, w.poller(t, workers(8), asking(g)), run)
		if diff := cmp.Diff(want, g.sorted()); diff != "" {
			t.Errorf("dry %t: asked (-want +got):\n%s", run.DryRun, diff)
		}
	}
}

// A dry run of every kind of answer, with retries and a refusal, leaves no trace.
func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, step := range []simulator.Step{
		isPaidStep, says("TRADE_CLOSED"), says("WAIT_BUYER_PAY"), codes("NO_ORDER"), codes("BAD_REQUEST"), codes("NO_MERCHANT"),
		codes("TIMEOUT"), says("TRADE_SUCCESS", simulator.MutationNUL), says("TRADE_SUCCESS", simulator.MutationTotalMissing), codes("1000"),
	} {
		w.addOf(t, "89834014900001"+string(rune('0'+i)), i, step)
	}
	before := w.dump(t)
	var observed int
	p := w.poller(t, workers(1), observing(func(order.Outcome) { observed++ }))
	summary := sweep(t, p, Run{DryRun: true})
	if summary.Asked != 10 || observed != 10 {
		t.Errorf("asked %d, observed %d, want 10", summary.Asked, observed)
	}
	if diff := cmp.Diff(before, w.dump(t)); diff != "" {
		t.Errorf("a dry run wrote (-before +after):\n%s", diff)
	}
	// And nothing of it keeps a real run from what is due.
	if s := sweep(t, w.poller(t, workers(1)), Run{Once: true}); s.Asked != 10 {
		t.Errorf("then asked %d", s.Asked)
	}
}

// A dry run asks nothing where a real run would ask nothing.
func TestDryRunObeysThePauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add(t, 0, isPaidStep)
	w.addOf(t, otherMID, 1, isPaidStep)
	if err := w.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeMerchant, Key: otherMID, Cause: "trouble", For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if s := sweep(t, w.poller(t), Run{DryRun: true}); s.Asked != 1 {
		t.Errorf("one merchant paused: asked %d, want 1", s.Asked)
	}
	if err := w.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeApp, Key: credentials().AppID, Cause: "trouble", For: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if s := sweep(t, w.poller(t), Run{DryRun: true}); s.Asked != 0 || !s.BreakerOpen() {
		t.Errorf("all paused: asked %d, breaker open %t", s.Asked, s.BreakerOpen())
	}
}

// By hand, an order under review that is not settled stays where it is.
func TestReviewByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, step := range []simulator.Step{
		says("WAIT_BUYER_PAY"), codes("TIMEOUT"), codes("NO_ORDER"), {Status: "TRADE_SUCCESS", Amount: new(int64(1))}, says("TRADE_SUCCESS", simulator.MutationTotalMissing),
	} {
		w.add(t, i, step)
	}
	w.exec(t, `UPDATE orders SET review_reason = 'amount_mismatch', review_note = 'before', next_query_at = NULL`)
	sweep(t, w.poller(t), Run{Selection: &store.Selection{OnlyReview: true}})
	for i, want := range []string{
		// The lines are those of world.state: status, review, due, count, claim, booked.
		"WAIT_BUYER_PAY amount_mismatch never 1 free -", "UNKNOWN amount_mismatch never 0 free -", "UNKNOWN amount_mismatch never 1 free -",
		"UNKNOWN amount_mismatch never 0 free -", "UNKNOWN amount_missing never 0 free -",
	} {
		w.wantState(t, i, want)
		w.wantEvents(t, i, [][]string{nil, nil, nil, nil, {"order.review"}}[i]...)
	}
	notes := rows[string](t, w, `SELECT review_note FROM orders ORDER BY id`)
	for i, note := range notes {
		if kept := note == "before"; kept != (i < 3) {
			t.Errorf("order %d: note %q", i, note)
		}
	}
}
