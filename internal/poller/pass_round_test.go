package poller

import (
	"context"
	"testing"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

// More merchants than one claim looks at have orders behind the backlog of a paused one. Whichever
// way they are found, a pass asks about all of them, and about none of the paused one.
func TestPassGoesRoundTheMerchants(t *testing.T) {
	t.Parallel()
	const head, others = 400, 150
	mids := make([]string, 0, others)
	w := newWorld(t)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at)
		SELECT $1, '88880001', 'head' || lpad(i::text, 8, '0'), 1, now() - interval '2 hours' FROM generate_series(1, $2::int) AS i`, otherMID, head)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, next_query_at)
		SELECT '8983401490002' || lpad((i % $1)::text, 3, '0'), '88880001', 'rest' || lpad(i::text, 8, '0'), 1, now() - interval '1 hour'
		FROM generate_series(1, 2 * $1::int) AS i`, others)
	mids = append(mids, rows[string](t, w, `SELECT DISTINCT mid FROM orders WHERE mid <> $1 ORDER BY mid`, otherMID)...)
	g := gatewayFunc(func(_ context.Context, r chinaums.Request) (chinaums.Answer, error) {
		if r.MID == otherMID {
			t.Error("the paused merchant was asked for")
		}
		a := chinaums.Answer{HTTPStatus: 200, Code: "SUCCESS"}
		a.Trade.Status = chinaums.Field[chinaums.Status]{Value: chinaums.StatusWaitBuyerPay, Present: true}
		a.Trade.MID = chinaums.Field[string]{Value: r.MID, Present: true}
		a.Trade.MerOrderID = chinaums.Field[string]{Value: r.MerOrderID, Present: true}
		return a, nil
	})
	w.exec(t, `INSERT INTO gateway_controls (scope, key, set_by) VALUES ('mid', $1, 'an operator')`, otherMID)
	for _, apps := range [][]App{
		oneApp(g),
		{{AppID: credentials().AppID, Gateway: g, MIDs: mids}, {AppID: "another", Gateway: g, MIDs: []string{otherMID}}},
	} {
		p := w.poller(t, workers(8))
		if err := p.UseApps(apps); err != nil {
			t.Fatal(err)
		}
		w.exec(t, `UPDATE orders SET next_query_at = now() - interval '1 hour', last_queried_at = NULL WHERE mid <> $1`, otherMID)
		wantDecisions(t, sweep(t, p, Run{Once: true}), map[order.Decision]int{order.Deferred: 2 * others})
	}
	if n := one[int](t, w, `SELECT count(*)::int FROM order_queries`); n != 2*2*others {
		t.Errorf("%d questions, want %d", n, 2*2*others)
	}
}

// The cursor ends a round that found nothing, and begins another after one that found something.
func TestCursorGoesRound(t *testing.T) {
	t.Parallel()
	c := &cursor{}
	more, end := store.Round{Behind: "m"}, store.Round{}
	found := []order.Order{{ID: 1}}
	for i, step := range []struct {
		page store.Page
		want bool
	}{
		{store.Page{Round: end}, false},
		{store.Page{Round: more}, true},
		{store.Page{Round: end}, false},
		{store.Page{Round: more, Orders: found}, true},
		{store.Page{Round: more}, true},
		{store.Page{Round: end}, true}, // others may have become due
		{store.Page{Round: more}, true},
		{store.Page{Round: more, Paused: true}, false},
		{store.Page{Round: more, NextToken: 1}, false},
		{store.Page{Round: end}, false},
	} {
		if c.moveRound(step.page); c.hasMoreMerchants() != step.want {
			t.Errorf("step %d: more %t, want %t", i, !step.want, step.want)
		}
	}
}
