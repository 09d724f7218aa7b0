package main_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
)

func TestRunOnceExitCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		life simulator.Step
		code int
	}{
		{"settled", paid(), 0},
		{"deferred", status(chinaums.StatusWaitBuyerPay), 0},
		{"not known", simulator.Step{Code: "NO_ORDER"}, 0},
		{"review", paid(simulator.MutationTotalMissing), 0},
		{"no answer", simulator.Step{Code: "9200"}, 1},
		{"credentials refused", simulator.Step{Code: "1000"}, 1},
		{"merchant refused", simulator.Step{Code: "INACTIVE_MERCHANT"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.orders(t, 1, test.life)
			for _, args := range [][]string{{"--dry-run"}, {"--all"}} { // in this order: a dry run changes nothing for the next
				if _, s := w.summary(t, test.code, append([]string{"run-once"}, args...)...); s.Asked != 1 {
					t.Errorf("%v: asked %d", args, s.Asked)
				}
			}
		})
	}
}

func TestRunOnceEndsWithTheGateway(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"due": nil, "all": {"--all"}, "dry run": {"--dry-run"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("RECONCILER_CONCURRENCY=2", "RECONCILER_LOG_LEVEL=error")
			w.orders(t, 40, paid())
			if err := w.SetOutage(simulator.Step{Code: "9999"}); err != nil {
				t.Fatal(err)
			}
			r, s := w.summary(t, 1, append([]string{"run-once"}, args...)...)
			if s.NoAnswer != s.Asked || s.Asked < 5 || s.Asked > 7 || s.Selected != 40 {
				t.Errorf("summary = %+v, want no answers to 5 to 7 questions of 40", s)
			}
			if w.Total() > 7*3 {
				t.Errorf("%d requests, want at most 21", w.Total())
			}
			if r.stderr == "" {
				t.Error("nothing says why the run ended early")
			}
			if n := scan[int](t, w, `SELECT count(*) FROM orders WHERE status <> 'UNKNOWN' OR query_count > 0 OR lease_until IS NOT NULL OR next_query_at IS NULL`); n != 0 {
				t.Errorf("%d orders have changed", n)
			}
		})
	}
}

func TestRunOnceWithoutDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("DATABASE_URL=postgres://somebody:pass-that-nobody-may-see@" + closedPort(t) + "/orders")
	r := w.invoke(t, "run-once", "--output=json")
	r.want(t, 1)
	r.lacks(t, "pass-that-nobody-may-see")
	if r.stdout != "" {
		t.Errorf("stdout = %q, want nothing without a summary", r.stdout)
	}
}

func TestRunOnceDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"due": nil, "all": {"--all"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			everyDecision(t, w)
			w.orders(t, 1, simulator.Step{Status: chinaums.StatusUnknown}) // no change
			before := w.dump(t)
			_, s := w.summary(t, 1, append([]string{"run-once", "--dry-run"}, args...)...)
			if diff := cmp.Diff(before, w.dump(t)); diff != "" {
				t.Errorf("the tables have changed (-before +after):\n%s", diff)
			}
			number := func(id int64) string {
				return scan[string](t, w, `SELECT mer_order_id FROM orders WHERE id = $1`, id)
			}
			want := summary{
				Selected: 8, Asked: 8, Settled: 2, Deferred: 2, NotFound: 1, Review: 1, NoAnswer: 1, Refused: 1, DryRun: true,
				ByStatus: map[string]int{"TRADE_SUCCESS": 1, "TRADE_CLOSED": 1, "WAIT_BUYER_PAY": 1, "NOT_FOUND": 1, "UNKNOWN": 4},
				Changes: []change{
					{1, mid, number(1), "UNKNOWN", "TRADE_SUCCESS", "settled", "trade_success"},
					{2, mid, number(2), "UNKNOWN", "TRADE_CLOSED", "settled", "trade_closed"},
					{3, mid, number(3), "UNKNOWN", "WAIT_BUYER_PAY", "deferred", "unresolved"},
					{4, mid, number(4), "UNKNOWN", "NOT_FOUND", "not_found", "not_found"},
					{5, mid, number(5), "UNKNOWN", "UNKNOWN", "review", "identity_mismatch"},
				},
			}
			byID := cmpopts.SortSlices(func(a, b change) bool { return a.ID < b.ID })
			if diff := cmp.Diff(want, s, byID, cmpopts.IgnoreFields(summary{}, "Seconds")); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunOnceDryRunText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 1, paid())
	r := w.invoke(t, "run-once", "--dry-run")
	r.want(t, 0, "dry_run", numbers[0], mid, "UNKNOWN", "TRADE_SUCCESS", "settled")
	w.exec(t, `UPDATE orders SET mid = '商户一二三四五六', review_reason = 'poison'`) // a character is two columns wide
	w.invoke(t, "run-once", "--dry-run", "--mer-order-id="+numbers[0]).want(t, 0,
		"\nMID               MER_ORDER_ID  ID  BEFORE   AFTER    DECISION               REASON\n",
		"\n商户一二三四五六  "+numbers[0]+"  1   UNKNOWN  UNKNOWN  skipped: under_review\n")
}

// A review that the order is under ends with a settlement; that is a change, too.
func TestRunOnceDryRunTellsOfReviews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	w.orders(t, 1, paid(simulator.MutationTotalMissing))
	w.exec(t, `UPDATE orders SET review_reason = 'amount_missing', next_query_at = NULL`)
	_, s := w.summary(t, 0, "run-once", "--dry-run", "--review")
	if len(s.Changes) != 1 || s.Changes[0].ID != 1 || s.Changes[0].To != "TRADE_SUCCESS" {
		t.Errorf("changes = %+v, want that of order 1: the review of order 2 stays", s.Changes)
	}
}

// A run despite a pause sends one probe. Where that fails, the breaker holds for the rest of the run.
func TestRunOnceOneFailedProbe(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ scope, key, setBy, code string }{
		"an app of the breaker":     {"app", appID, "breaker", "1000"},
		"a merchant of the breaker": {"mid", mid, "breaker", "INACTIVE_MERCHANT"},
		"a merchant of a person":    {"mid", mid, "li", "INACTIVE_MERCHANT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("RECONCILER_CONCURRENCY=1")
			numbers := w.orders(t, 3, simulator.Step{Code: tt.code})
			w.exec(t, `INSERT INTO gateway_controls (scope, key, paused_until, reason, set_by)
				VALUES ('`+tt.scope+`', '`+tt.key+`', now() + interval '10 minutes', 'trouble', '`+tt.setBy+`')`)
			_, s := w.summary(t, 1, append([]string{"run-once", "--despite-pause"}, numberFlags(numbers...)...)...)
			left := strings.Count(strings.Join(fates(s), "\n")+"\n", " breaker\n") // any of them is the probe
			if s.Asked != 1 || s.Refused != 1 || left != 2 {
				t.Errorf("asked %d, refused %d, orders %q; want one refused, two left to the breaker", s.Asked, s.Refused, fates(s))
			}
		})
	}
}
