package store_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/store"
)

// Suspects are asked one at a time, and never hold up the others.
func TestClaimTakesOneSuspect(t *testing.T) {
	t.Parallel()
	for name, selection := range map[string]*store.Selection{"due": nil, "selected": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 40)
			d.exec(t, `UPDATE orders SET unrecorded_claims = 2 WHERE id <= 30`)
			claim := store.Claim{Limit: 4, Selection: selection}
			if diff := cmp.Diff([]int64{31, 32, 33, 34}, ids(d.claimWith(t, claim))); diff != "" {
				t.Errorf("without suspects (-want +got):\n%s", diff)
			}
			claim.Suspects = true
			got := d.claimWith(t, claim)
			if diff := cmp.Diff([]int64{1, 35, 36, 37}, ids(got)); diff != "" {
				t.Errorf("with one suspect (-want +got):\n%s", diff)
			}
			if got[0].UnrecordedClaims != 3 || got[1].UnrecordedClaims != 1 {
				t.Errorf("counts %d, %d; want 3, 1", got[0].UnrecordedClaims, got[1].UnrecordedClaims)
			}
			claim.Limit, claim.Uncounted = 1, true
			if got = d.claimWith(t, claim); len(got) != 1 || got[0].ID != 2 || got[0].UnrecordedClaims != 2 {
				t.Errorf("an uncounted claim of one: %+v", got)
			}
			page, err := d.Peek(t.Context(), store.Claim{Limit: 100, Selection: selection})
			if err != nil || len(page.Orders) != 31 {
				t.Errorf("%d orders to be seen, %v; want 31", len(page.Orders), err)
			}
		})
	}
}

// A claim reads no more of the backlog for the sake of suspects than its first rows.
func TestClaimOfASuspectReadsFewRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 5000)
	d.exec(t, `UPDATE orders SET unrecorded_claims = 2 WHERE id = 4000`)
	d.exec(t, `ANALYZE orders`)
	if got := d.claimWith(t, store.Claim{Limit: 2, Suspects: true}); slices.Contains(ids(got), 4000) {
		t.Errorf("claimed %v", ids(got))
	}
	for _, plan := range []string{"force_custom_plan", "force_generic_plan"} {
		d.exec(t, `SET plan_cache_mode = `+plan)
		sql, args := store.ClaimSQL(store.Claim{Worker: "test", Lease: time.Minute, Limit: 16, Suspects: true, Lanes: true})
		for _, node := range planNodes(t, explain(t, d, sql, args)) {
			if node == "Seq Scan orders" || node == "Bitmap Heap Scan orders" || node == "Sort orders" {
				t.Errorf("%s: the claim's cost grows with the table: %s", plan, node)
			}
		}
	}
}

// The clock was set back: what was set before lies further ahead than it can, and counts as now.
func TestClaimAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	d.exec(t, `UPDATE orders SET lease_until = now() + interval '3 hours', claim_no = 5, claimed_by = 'test' WHERE id = 1`)
	d.exec(t, `UPDATE orders SET lease_until = 'infinity' WHERE id = 2`)
	d.exec(t, `UPDATE orders SET lease_until = now() + interval '50 seconds' WHERE id = 3`)
	if diff := cmp.Diff([]int64{1, 2}, ids(d.claim(t, 9))); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
	d.exec(t, `UPDATE orders SET lease_until = NULL`)

	must(t, d.OpenBudget(t.Context(), app, 50))
	for _, refilled := range []string{`now() + interval '5 hours'`, `'infinity'`, `'-infinity'`, `now() - interval '5 hours'`} {
		d.exec(t, `UPDATE gateway_budgets SET tokens = 0, refilled_at = `+refilled)
		deadline := time.Now().Add(3 * time.Minute)
		for len(d.claimAs(t, 1, 50)) == 0 { // the first claim may only set the time right
			if time.Now().After(deadline) {
				t.Fatalf("no token after a refill at %s", refilled)
			}
		}
		d.exec(t, `UPDATE orders SET lease_until = NULL, unrecorded_claims = 0`)
		d.exec(t, `UPDATE gateway_budgets SET tokens = 1, refilled_at = `+refilled)
		if wait, err := d.Reserve(t.Context(), app, 50); err != nil || wait != 0 {
			t.Errorf("a round trip waits %v, %v after a refill at %s", wait, err, refilled)
		}
	}

	for _, far := range []string{`now() + interval '3 hours'`, `'infinity'`} {
		d.exec(t, `DELETE FROM gateway_controls`)
		must(t, d.PauseByBreaker(t.Context(), store.BreakerPause{Scope: store.ScopeApp, Key: app, For: time.Minute}))
		d.exec(t, `UPDATE gateway_controls SET paused_until = `+far)
		if got := d.page(t, store.Claim{App: app, Limit: 9}); len(got.Orders) != 1 || !got.Orders[0].AppProbe {
			t.Errorf("a pause until %s: %+v, want a probe", far, got)
		}
		d.exec(t, `UPDATE orders SET lease_until = NULL, unrecorded_claims = 0`)
		d.exec(t, `UPDATE gateway_controls SET probe_until = `+far)
		if got := d.page(t, store.Claim{App: app, Limit: 9}); len(got.Orders) != 1 || !got.Orders[0].AppProbe {
			t.Errorf("a probe until %s: %+v, want another", far, got)
		}
		d.resume(t, store.ScopeApp, app)
		if n := scan[int](t, d, `SELECT count(*) FROM gateway_controls`); n != 0 {
			t.Errorf("a pause until %s is not ended by its probe", far)
		}
		d.exec(t, `UPDATE orders SET lease_until = NULL, unrecorded_claims = 0`)
	}
	// A person may pause for as long as they like.
	d.exec(t, `INSERT INTO gateway_controls (scope, key, paused_until, set_by) VALUES ('app', $1, now() + interval '3 days', 'li')`, app)
	if got := d.page(t, store.Claim{App: app, Limit: 9}); len(got.Orders) != 0 || !got.Paused {
		t.Errorf("paused by a person: %+v", got)
	}
}

// A claim takes what it can, whatever stands in one row.
func TestClaimBesideExtremeRows(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		set     string
		refused bool
	}{
		"claim_no at its end":          {`claim_no = 9223372036854775807`, true},
		"unrecorded claims at the end": {`unrecorded_claims = 2147483647`, false},
		"query_count at its end":       {`query_count = 2147483647`, false},
		"a lease since ever":           {`lease_until = '-infinity'`, false},
		"a lease for ever":             {`lease_until = 'infinity'`, false},
		"due since ever":               {`next_query_at = '-infinity'`, false},
		"due for ages":                 {`next_query_at = '4713-01-01 BC'`, false},
		"created at the end of time":   {`created_at = '294276-12-31', expires_at = 'infinity', last_queried_at = '294276-12-31'`, false},
		"created before all time":      {`created_at = '-infinity', expires_at = '-infinity', last_queried_at = '-infinity'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, claim := range []store.Claim{{Limit: 8}, {Limit: 8, Lanes: true, From: store.Cursor{}}, {Limit: 8, Selection: &store.Selection{}}, {Limit: 8, ExceptMIDs: []string{}}} {
				d := open(t)
				d.insert(t, 8)
				d.exec(t, `UPDATE orders SET `+tt.set+` WHERE id IN (1, 8)`)
				claim.Suspects = true
				peeked, err := d.Peek(t.Context(), claim)
				if err != nil || len(peeked.Orders) != 8 {
					t.Errorf("%d orders to be seen, %v", len(peeked.Orders), err)
				}
				if n, err := d.Count(t.Context(), claim); err != nil || n != 8 {
					t.Errorf("counted %d, %v", n, err)
				}
				page := d.page(t, claim)
				claimed := ids(page.Orders)
				var refused []int64
				for _, r := range page.Refused {
					if r.Err == nil {
						t.Errorf("refused order %d without a cause", r.ID)
					}
					refused = append(refused, r.ID)
				}
				slices.Sort(claimed)
				slices.Sort(refused)
				if tt.refused && (!slices.Equal(claimed, []int64{2, 3, 4, 5, 6, 7}) || !slices.Equal(refused, []int64{1, 8})) {
					t.Errorf("claimed %v, refused %v", claimed, refused)
				}
				if !tt.refused && len(claimed) < 7 { // of two suspects one is left
					t.Errorf("claimed %v, refused %v", claimed, refused)
				}
				claim.ExceptIDs = refused
				if again := d.page(t, claim); len(again.Refused) != 0 {
					t.Errorf("refused again: %v", again.Refused)
				}
			}
		})
	}
}

// A trigger of the application's that refuses the claim of one row.
func TestClaimBesideATrigger(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 4)
	d.trigger(t, "NEW.id = 3", `RAISE EXCEPTION 'hands off';`)
	page := d.page(t, store.Claim{Limit: 4, Lanes: true})
	if len(page.Orders) != 3 || len(page.Refused) != 1 || page.Refused[0].ID != 3 {
		t.Errorf("claimed %v, refused %v", ids(page.Orders), page.Refused)
	}
}

// A trigger that drops claims without a word keeps nobody else's orders from being claimed.
func TestClaimBesideATriggerThatDrops(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 6)
	d.exec(t, `CREATE FUNCTION dropped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	d.exec(t, `CREATE TRIGGER dropped BEFORE UPDATE ON orders FOR EACH ROW WHEN (OLD.id <= 4) EXECUTE FUNCTION dropped()`)
	for name, selection := range map[string]*store.Selection{"due": nil, "selected": {}} {
		claim := store.Claim{Limit: 3, Selection: selection}
		var claimed []int64
		for range 3 {
			page := d.page(t, claim)
			claimed = append(claimed, ids(page.Orders)...)
			for _, r := range page.Refused {
				claim.ExceptIDs = append(claim.ExceptIDs, r.ID)
			}
		}
		if !slices.Equal(claimed, []int64{5, 6}) || !slices.Equal(slices.Sorted(slices.Values(claim.ExceptIDs)), []int64{1, 2, 3, 4}) {
			t.Errorf("%s: claimed %v, refused %v", name, claimed, claim.ExceptIDs)
		}
		d.exec(t, `UPDATE orders SET lease_until = NULL`)
	}
}

// A budget that somebody deleted is made again.
func TestClaimWithoutABudgetRow(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	if got := d.claimAs(t, 3, 50); len(got) != 3 {
		t.Errorf("claimed %d orders, want 3", len(got))
	}
}

// A merchant that hangs is held to a few.
func TestClaimHeedsMerchantCaps(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 40)
	d.exec(t, `UPDATE orders SET mid = CASE WHEN id <= 20 THEN $1 ELSE $2 END`, mid, otherMID)
	page := d.page(t, store.Claim{Limit: 30, MaxPerMerchant: 25, MerchantCaps: map[string]int{mid: 4}, InHand: map[string]int{mid: 1}})
	if got := byMerchant(page.Orders); got[mid] != 3 || got[otherMID] != 10 || !page.MoreDue {
		t.Errorf("claimed %v, more %t", got, page.MoreDue)
	}
}

// Claims that nobody has in hand are given back, uncounted. Others' are left alone, and locked
// rows.
func TestReleaseStray(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 6)
	d.exec(t, `UPDATE orders SET review_reason = 'bad_request', next_query_at = NULL WHERE id = 6`)
	d.claim(t, 5)
	d.claimWith(t, store.Claim{Limit: 1, Selection: &store.Selection{OnlyReview: true}})
	d.exec(t, `UPDATE orders SET claimed_by = 'another' WHERE id = 4`)
	d.exec(t, `BEGIN`)
	d.exec(t, `SELECT FROM orders WHERE id = 5 FOR UPDATE`)
	n, err := d.ReleaseStray(t.Context(), "test", []int64{2})
	if err != nil || n != 3 {
		t.Errorf("released %d, %v; want 3", n, err)
	}
	d.exec(t, `ROLLBACK`)
	got := scan[string](t, d, `SELECT string_agg(id || ':' || unrecorded_claims, ' ' ORDER BY id) FROM orders WHERE lease_until IS NULL`)
	if got != "1:0 3:0 6:0" {
		t.Errorf("free: %s", got)
	}

	// A row that refuses it keeps its lease, and no other does.
	d.exec(t, `ALTER TABLE orders ADD CHECK (id <> 5 OR unrecorded_claims > 0)`) // the application's own
	if n, err = d.ReleaseStray(t.Context(), "test", nil); err != nil || n != 1 {
		t.Errorf("released %d beside a row that refuses, %v; want 1", n, err)
	}
	if got := scan[string](t, d, `SELECT string_agg(id::text, ' ' ORDER BY id) FROM orders WHERE lease_until IS NULL`); got != "1 2 3 6" {
		t.Errorf("free beside a row that refuses: %s", got)
	}
}

// Giving back waits for nobody.
func TestReleaseSkipsLockedRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 3)
	orders := d.claim(t, 3)
	d.exec(t, `BEGIN`)
	d.exec(t, `SELECT FROM orders WHERE id = 2 FOR UPDATE`)
	must(t, d.UncountClaims(t.Context(), orders))
	must(t, d.Release(t.Context(), orders))
	d.exec(t, `ROLLBACK`)
	got := scan[string](t, d, `SELECT string_agg(concat_ws(':', id, unrecorded_claims, lease_until IS NULL), ' ' ORDER BY id) FROM orders`)
	if want := "1:0:t 2:1:f 3:0:t"; got != want {
		t.Errorf("rows %s, want %s", got, want)
	}

	// The claim that could not be taken off the count is not counted beside the next of its worker.
	d.exec(t, `UPDATE orders SET lease_until = now()`)
	d.claim(t, 3)
	got = scan[string](t, d, `SELECT string_agg(concat_ws(':', id, unrecorded_claims), ' ' ORDER BY id) FROM orders`)
	if want := "1:1 2:1 3:1"; got != want {
		t.Errorf("claimed again: %s, want %s", got, want)
	}

	// What was taken off the count, and what never was on it, is not taken off a second time: the
	// claims of processes that died are still counted.
	d.exec(t, `UPDATE orders SET unrecorded_claims = 1, claimed_by = 'died', lease_until = now()`)
	for range 3 {
		must(t, d.UncountClaims(t.Context(), d.claim(t, 3)))
		d.exec(t, `UPDATE orders SET lease_until = now()`)
		d.claimWith(t, store.Claim{Limit: 3, Uncounted: true})
		d.exec(t, `UPDATE orders SET lease_until = now(), claimed_by = NULL`)
	}
	got = scan[string](t, d, `SELECT string_agg(concat_ws(':', id, unrecorded_claims), ' ' ORDER BY id) FROM orders`)
	if want := "1:1 2:1 3:1"; got != want {
		t.Errorf("after the claims that do not count: %s, want %s", got, want)
	}
}

// A claim whose process was seen after the lease is not counted beside the next, of whichever
// instance. One whose process was not seen again may have ended it, and is counted.
func TestClaimsOfLivingInstancesAreNotCounted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ lastSeen, want string }{
		"seen after the lease":  {"10 minutes", "1 1 1"},
		"last seen at its end":  {"0", "1 2 3"},
		"last seen before":      {"-1 second", "1 2 3"},
		"no instance, run-once": {"", "1 2 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 1)
			var counts []string
			for _, worker := range []string{"a", "b", "c"} {
				claimed := d.claimWith(t, store.Claim{Limit: 1, Worker: worker, Suspects: true})
				if len(claimed) != 1 {
					t.Fatalf("%s claimed %d orders", worker, len(claimed))
				}
				counts = append(counts, strconv.Itoa(claimed[0].UnrecordedClaims))
				d.exec(t, `UPDATE orders SET lease_until = now() - interval '1 hour'`)
				if test.lastSeen != "" {
					must(t, d.Heartbeat(t.Context(), store.Instance{Worker: worker}))
					d.exec(t, `UPDATE instances SET seen_at = (SELECT lease_until FROM orders) + $2::text::interval WHERE worker = $1`, worker, test.lastSeen)
				}
			}
			if got := strings.Join(counts, " "); got != test.want {
				t.Errorf("counts %s, want %s", got, test.want)
			}
		})
	}
}

// Every argument of every statement of a claim is given.
func TestClaimGivesEveryArgument(t *testing.T) {
	t.Parallel()
	for _, c := range []store.Claim{{}, {Selection: &store.Selection{}}, {ExceptMIDs: []string{"m"}}, {Suspects: true, Lanes: true, Limit: 9}} {
		for _, missing := range store.MissingClaimArgs(c) {
			t.Errorf("%+v: @%s", c, missing)
		}
	}
}
