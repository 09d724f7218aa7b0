package store_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

func ids(orders []order.Order) []int64 {
	list := make([]int64, len(orders))
	for i, o := range orders {
		list[i] = o.ID
	}
	return list
}

func TestClaimTakesWhatIsDueOldestFirst(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 8)
	d.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 minute' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET status = 'NOT_FOUND', next_query_at = NULL WHERE id = 2`)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS' WHERE id = 3`) // the application's own callback
	d.exec(t, `UPDATE orders SET review_reason = 'amount_mismatch' WHERE id = 4`)
	d.exec(t, `UPDATE orders SET lease_until = now() + interval '1 minute' WHERE id = 5`)
	d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 second', claim_no = 7 WHERE id = 6`)
	d.exec(t, `UPDATE orders SET status = 'NOT_FOUND', next_query_at = now() - interval '2 hours' WHERE id = 8`)

	got := d.claim(t, 10)
	if diff := cmp.Diff([]int64{8, 6, 7}, ids(got)); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	for _, o := range got {
		if o.LeaseUntil == nil || o.LeaseUntil.Sub(o.ClaimedAt) != time.Minute {
			t.Errorf("order %d: lease until %v, want a minute after %v", o.ID, o.LeaseUntil, o.ClaimedAt)
		}
	}
	if got[1].ClaimNo != 8 {
		t.Errorf("claim number %d, want 8", got[1].ClaimNo)
	}
	if again := d.claim(t, 10); len(again) != 0 {
		t.Errorf("claimed twice: %v", ids(again))
	}
}

func TestClaimByManyTakesEachOrderOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	const orders = 500
	d.insert(t, orders)
	var mu sync.Mutex
	taken := make(map[int64]int)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for {
				page, err := d.Claim(t.Context(), store.Claim{Worker: "test", Lease: time.Minute, Limit: 7})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, o := range page.Orders {
					taken[o.ID]++
				}
				done := len(taken) == orders
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	for id, n := range taken {
		if n != 1 {
			t.Errorf("order %d was claimed %d times", id, n)
		}
	}
}

func TestClaimLeavesOutPausedMerchantsAndOrdersAskedBefore(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 4)
	d.exec(t, `UPDATE orders SET mid = '898340149000099' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET last_queried_at = now() WHERE id = 2`)
	start, err := d.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.exec(t, `UPDATE orders SET last_queried_at = $1 WHERE id = 2`, start)
	d.exec(t, `UPDATE orders SET last_queried_at = now() + interval '1 hour' WHERE id = 4`) // the clock was set back
	got := d.claimWith(t, store.Claim{Limit: 10, PausedMIDs: []string{"898340149000099"}, AskedBefore: &start})
	if diff := cmp.Diff([]int64{3, 4}, ids(got)); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
}

// Postgres knows times that Go does not. One such row must not take its page along.
func TestClaimReadsInfiniteTimes(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET next_query_at = '-infinity', created_at = '-infinity', expires_at = 'infinity' WHERE id = 1`)
	if diff := cmp.Diff([]int64{1, 2}, ids(d.claim(t, 10))); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
}

func TestReleaseGivesBackOnlyWhatIsStillOurs(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	orders := d.claim(t, 2)
	d.exec(t, `UPDATE orders SET claim_no = claim_no + 1, claimed_by = 'another' WHERE id = 2`)
	if err := d.Release(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{1}, ids(d.claim(t, 10))); diff != "" {
		t.Errorf("due again (-want +got):\n%s", diff)
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 8)
	d.exec(t, `UPDATE orders SET next_query_at = now() + interval '1 hour' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET status = 'NOT_FOUND', next_query_at = NULL, created_at = now() - interval '3 days' WHERE id = 2`)
	d.exec(t, `UPDATE orders SET review_reason = 'bad_request', next_query_at = NULL WHERE id = 3`)
	d.exec(t, `UPDATE orders SET lease_until = now() + interval '1 hour' WHERE id = 4`)
	d.exec(t, `UPDATE orders SET status = 'TRADE_SUCCESS', review_reason = 'conflict' WHERE id = 5`)
	d.exec(t, `UPDATE orders SET mid = '898340149000099' WHERE id = 6`)
	d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = 7`)
	yesterday := time.Now().Add(-24 * time.Hour)
	for _, tt := range []struct {
		name string
		sel  store.Selection
		want []int64
	}{
		{"all", store.Selection{}, []int64{1, 2, 6, 8}},
		{"all and those under review", store.Selection{Review: true}, []int64{1, 2, 3, 6, 8}},
		{"only those under review", store.Selection{OnlyReview: true}, []int64{3}},
		{"a merchant", store.Selection{MID: "898340149000099"}, []int64{6}},
		{"numbers", store.Selection{MerOrderIDs: []string{"319400000001", "319400000004", "319400000007", "319400000008"}}, []int64{1, 8}},
		{"since", store.Selection{CreatedSince: &yesterday}, []int64{1, 6, 8}},
		{"until", store.Selection{CreatedUntil: &yesterday}, []int64{2}},
		{"narrowing", store.Selection{MID: mid, MerOrderIDs: []string{"319400000006", "319400000008"}}, []int64{8}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []int64
			claim := store.Claim{Worker: "test", Limit: 2, Selection: &tt.sel}
			for { // in pages, as a run does
				page, err := d.Peek(t.Context(), claim)
				if err != nil {
					t.Fatal(err)
				}
				if len(page.Orders) == 0 {
					break
				}
				got = append(got, ids(page.Orders)...)
				claim.After = store.Next(page.Orders)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
			claim.After, claim.Limit = store.Cursor{}, 100
			if n, err := d.Count(t.Context(), claim); err != nil || n != len(tt.want) {
				t.Errorf("Count = %d, %v; want %d", n, err, len(tt.want))
			}
		})
	}
}

func TestPeekPagesThroughWhatIsDue(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 5)
	d.exec(t, `UPDATE orders SET next_query_at = '2020-01-01' WHERE id IN (2, 4)`)
	var got []int64
	claim := store.Claim{Limit: 2}
	for {
		page, err := d.Peek(t.Context(), claim)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Orders) == 0 {
			break
		}
		got = append(got, ids(page.Orders)...)
		claim.After = store.Next(page.Orders)
	}
	if diff := cmp.Diff([]int64{2, 4, 1, 3, 5}, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if n := scan[int](t, d, `SELECT count(*) FROM orders WHERE claim_no > 0 OR lease_until IS NOT NULL`); n != 0 {
		t.Errorf("%d orders were claimed by looking", n)
	}
}

// The claim must stay as fast beside millions of settled orders as without them:
// it reads the partial index, in its order, and nothing else.
func TestClaimUsesThePartialIndex(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status)
		SELECT $1, $2, 'settled' || i, 100, 'TRADE_SUCCESS' FROM generate_series(1, 20000) i`, mid, tid)
	d.insert(t, 5000)
	d.exec(t, `INSERT INTO gateway_controls (scope, key, set_by) VALUES ('mid', $1, 'an operator')`, mid) // of nearly all orders
	d.exec(t, `ANALYZE orders, gateway_controls`)
	for _, plan := range []string{"force_custom_plan", "force_generic_plan"} {
		d.exec(t, `SET plan_cache_mode = `+plan)
		sql, args := store.ClaimSQL(store.Claim{Lanes: true, Worker: "test", Lease: time.Minute, Limit: 64})
		nodes := planNodes(t, explain(t, d, sql, args))
		// The limit takes rows straight from the index, in its order: no sort, no
		// other way into the table.
		lanes := 0
		for i, node := range nodes {
			if node == "Index Scan orders_due" && nodes[i-1] == "Result" && nodes[i-2] == "LockRows" {
				lanes++
			}
			if node == "Seq Scan orders" || node == "Bitmap Heap Scan orders" {
				t.Errorf("%s: the claim's cost grows with the table: %v", plan, nodes)
			}
		}
		if lanes != 2 {
			t.Errorf("%s: %d lanes come from orders_due in its order, want 2: %v", plan, lanes, nodes)
		}
	}
}

type planNode struct {
	Type  string     `json:"Node Type"`
	Index string     `json:"Index Name"`
	Table string     `json:"Relation Name"`
	Plans []planNode `json:"Plans"`
}

func planNodes(t *testing.T, text []byte) []string {
	t.Helper()
	var plan []struct{ Plan planNode }
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	var list []string
	var walk func(planNode)
	walk = func(n planNode) {
		of := n.Index
		if of == "" {
			of = n.Table
		}
		list = append(list, strings.TrimSpace(n.Type+" "+of))
		for _, child := range n.Plans {
			walk(child)
		}
	}
	walk(plan[0].Plan)
	return list
}

// A backlog must not keep a customer waiting, who has just paid.
func TestClaimLeavesRoomForNewOrders(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1000)
	d.exec(t, `UPDATE orders SET next_query_at = now() WHERE id > 990`)
	first := d.claimWith(t, store.Claim{Limit: 64, Lanes: true})
	young := 0
	for _, o := range first {
		if o.ID > 990 {
			young++
		}
	}
	if len(first) != 64 || young != 10 {
		t.Errorf("the first claim took %d orders, %d of them new; want 64 and all 10", len(first), young)
	}
	if !slices.IsSortedFunc(first, func(a, b order.Order) int { return a.NextQueryAt.Compare(*b.NextQueryAt) }) {
		t.Error("the claim is not in the order of the due times")
	}
	for _, o := range d.claim(t, 2) { // too small for two lanes
		if o.ID > 64 {
			t.Errorf("a small claim took order %d out of its turn", o.ID)
		}
	}
}

// What was claimed again and again without a record says so.
func TestClaimCountsWhatWasNotRecorded(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1)
	suspect := func() order.Order {
		t.Helper()
		orders := d.claimWith(t, store.Claim{Limit: 1, Suspects: true})
		if len(orders) != 1 {
			t.Fatalf("claimed %d orders, want 1", len(orders))
		}
		return orders[0]
	}
	for want := 1; want <= 3; want++ {
		o := suspect()
		if o.UnrecordedClaims != want {
			t.Errorf("claim %d: %d unrecorded", want, o.UnrecordedClaims)
		}
		d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 second', claimed_by = 'a process that died'`)
	}
	o := suspect()
	if err := d.Release(t.Context(), []order.Order{o}); err != nil {
		t.Fatal(err)
	}
	o = suspect()
	if o.UnrecordedClaims != 4 {
		t.Errorf("a claim that was given back counts: %d", o.UnrecordedClaims)
	}
	d.record(t, deferred(o))
	if n := scan[int](t, d, `SELECT unrecorded_claims FROM orders`); n != 0 {
		t.Errorf("%d unrecorded after a record", n)
	}
}

// A claim of all rows of a page leaves them there, so that it changes no index.
func TestClaimStaysWithinThePage(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1000)
	d.exec(t, "CREATE TABLE was AS SELECT id, ctid AS place FROM orders")
	worker := "payments-7d9f8b6c5d-x2x4v/1/0123456789abcdef"
	page, err := d.Claim(t.Context(), store.Claim{Worker: worker, Lease: time.Minute, Limit: 1000})
	if err != nil || len(page.Orders) != 1000 {
		t.Fatal(len(page.Orders), err)
	}
	moved := scan[int](t, d, `SELECT count(*) FROM orders JOIN was USING (id)
		WHERE (orders.ctid::text::point)[0] <> (was.place::text::point)[0]`)
	same := scan[int](t, d, "SELECT count(*) FROM orders JOIN was ON was.id = orders.id AND was.place = orders.ctid")
	if moved > 0 || same > 0 {
		t.Errorf("%d rows moved to another page, %d did not change", moved, same)
	}
}
