package policy

import (
	"net/http"
	"testing"
	"time"

	"reconciler/internal/order"
)

// The expectations are lines of outcomeLine (main_test.go): decision, reason, status, next
// question, event.
const (
	isNotFound      = "not_found not_found NOT_FOUND +24h0m0s order.not_found"
	isUnconfirmed   = "review not_found_unconfirmed UNKNOWN never order.review"
	waitsForNoOrder = "deferred no_order UNKNOWN +15s -"
)

// evidence of so many NO_ORDER answers before this one.
func evidence(noOrders int, merchantFound bool) *order.Evidence {
	return &order.Evidence{NoOrders: noOrders, MerchantFound: merchantFound}
}

// NOT_FOUND takes age, expiry, three answers and a merchant that is known to work. Where the
// merchant is not, a person is called, and only at the age of giving up.
func TestNoOrder(t *testing.T) {
	t.Parallel()
	noOrder := newAsker(t)(anOrder(), http.StatusOK, codeBody("NO_ORDER"))
	const hour = time.Hour
	for _, tt := range []struct {
		name     string
		order    order.Order
		evidence *order.Evidence
		want     string
	}{
		{"young", anOrder(withAge(hour)), evidence(9, true), waitsForNoOrder},
		{"at the age", anOrder(withAge(2 * hour)), evidence(9, true), waitsForNoOrder},
		{"older", anOrder(withAge(2*hour + 1)), evidence(9, true), isNotFound},
		{"older, not expired", anOrder(withAge(3*hour), expiringAt(now.Add(hour))), evidence(9, true), waitsForNoOrder},
		{"older, expiring now", anOrder(withAge(3*hour), expiringAt(now)), evidence(9, true), waitsForNoOrder},
		{"older, just expired", anOrder(withAge(3*hour), expiringAt(now.Add(-1))), evidence(9, true), isNotFound},

		{"first answer", anOrder(withAge(3 * hour)), evidence(0, true), waitsForNoOrder},
		{"second answer", anOrder(withAge(3 * hour)), evidence(1, true), waitsForNoOrder},
		{"third answer", anOrder(withAge(3 * hour)), evidence(2, true), isNotFound},
		{"fourth answer", anOrder(withAge(3 * hour)), evidence(3, true), isNotFound},
		{"third question, but not by this answer's count", anOrder(withAge(3*hour), withQueryCount(2)), evidence(0, true), "deferred no_order UNKNOWN +1m0s -"},

		{"merchant never found", anOrder(withAge(3 * hour)), evidence(9, false), waitsForNoOrder},
		{"ledger unreadable", anOrder(withAge(3 * hour)), nil, waitsForNoOrder},
		{"slow lane", anOrder(withAge(25 * hour)), evidence(9, false), "deferred no_order UNKNOWN +24h0m0s -"},

		{"give-up age, merchant never found", anOrder(withAge(168 * hour)), evidence(9, false), "deferred no_order UNKNOWN +24h0m0s -"},
		{"give-up, merchant never found", anOrder(withAge(168*hour + 1)), evidence(9, false), isUnconfirmed},
		{"give-up, merchant never found, first answer", anOrder(withAge(169 * hour)), evidence(0, false), isUnconfirmed},
		{"give-up, merchant found, third answer", anOrder(withAge(169 * hour)), evidence(2, true), isNotFound},
		{"give-up, merchant found, first answer", anOrder(withAge(169 * hour)), evidence(0, true), "deferred no_order UNKNOWN +24h0m0s -"},
		{"give-up, ledger unreadable", anOrder(withAge(169 * hour)), nil, "deferred no_order UNKNOWN +24h0m0s -"},

		{"the status stays while it waits", anOrder(withAge(hour), withStatus(order.StatusNewOrder)), nil, "deferred no_order NEW_ORDER +15s -"},
		{"whatever it was before", anOrder(withAge(3*hour), withStatus(order.StatusWaitBuyerPay)), evidence(2, true), isNotFound},
		{"give-up, the status stays", anOrder(withAge(169*hour), withStatus(order.StatusWaitBuyerPay)), evidence(2, false), "review not_found_unconfirmed WAIT_BUYER_PAY never order.review"},
		{"no_answer cap is not for answers", anOrder(withAge(time.Minute), withQueryCount(7)), nil, "deferred no_order UNKNOWN +32m0s -"},

		{"under review as unconfirmed, now confirmed", anOrder(withAge(170*hour), underReview(order.ReviewNotFoundUnconfirmed)), evidence(9, true), isNotFound},
		{"under review as unconfirmed, still", anOrder(withAge(170*hour), underReview(order.ReviewNotFoundUnconfirmed)), evidence(9, false), "review not_found_unconfirmed UNKNOWN never -"},
		{"under review for something else", anOrder(withAge(170*hour), underReview(order.ReviewAmountMismatch)), evidence(9, true), "deferred no_order UNKNOWN never -"},
		{"under review for something else, unconfirmed", anOrder(withAge(170*hour), underReview(order.ReviewAmountMismatch)), evidence(9, false), "deferred no_order UNKNOWN never -"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := noOrder
			r.Evidence = tt.evidence
			if got := outcomeLine(testRules().Decide(tt.order, r, now)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			// What the ledger says is read where it can make a difference.
			without := noOrder
			if got := outcomeLine(testRules().Decide(tt.order, without, now)); got != tt.want && !testRules().NeedsEvidence(tt.order, noOrder.Trouble, now) {
				t.Errorf("the ledger is not read for it, but without evidence it is %s", got)
			}
		})
	}
}

// A NO_ORDER that comes with a trade status contradicts itself. It may not end in
// an order.not_found about a payment that the same answer calls paid.
func TestNoOrderWithATradeStatusIsNotBelieved(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, status := range []string{"TRADE_SUCCESS", "TRADE_REFUND", "WAIT_BUYER_PAY", "TRADE_FINISHED"} {
		o := anOrder(withAge(3 * time.Hour))
		r := ask(o, http.StatusOK, answer(`errCode="NO_ORDER"`, `status="`+status+`"`))
		r.Evidence = evidence(9, true)
		if out := testRules().Decide(o, r, now); out.Decision == order.NotFound || out.Decision == order.Settled || out.LastError == "" {
			t.Errorf("NO_ORDER with %s: %s, want the order kept open or a person called, and the trouble", status, outcomeLine(out))
		}
	}
}

func TestLateCheck(t *testing.T) {
	t.Parallel()
	old, soon := now.Add(-time.Minute), now.Add(time.Hour)
	lost := func(at *time.Time, changes ...change) order.Order {
		o := anOrder(append([]change{withAge(30 * time.Hour), withStatus(order.StatusNotFound), dueAt(at)}, changes...)...)
		return o
	}
	const stillNever, stillDue = "not_found still_not_found NOT_FOUND never -", "not_found still_not_found NOT_FOUND +1h0m0s -"
	noOrder := codeBody("NO_ORDER")
	checkDecided(t, []decided{
		{"due: still not found", lost(&old), 0, noOrder, stillNever},
		{"by hand, before its time: keeps it", lost(&soon), 0, noOrder, stillDue},
		{"by hand, after it was done", lost(nil), 0, noOrder, stillNever},
		{"due, beyond give-up", lost(&old, withAge(400*time.Hour)), 0, noOrder, stillNever},

		{"due: paid", lost(&old), 0, answer(), isPaid},
		{"by hand: paid", lost(&soon), 0, answer(), isPaid},
		{"after it was done: paid", lost(nil), 0, answer(), isPaid},
		{"due: closed", lost(&old), 0, answer(`status="TRADE_CLOSED"`), "settled trade_closed TRADE_CLOSED never order.closed"},
		{"due: wrong amount", lost(&old), 0, answer(`totalAmount=1`), "review amount_mismatch NOT_FOUND never order.review"},
		{"due: another order", lost(&old), 0, answer(`-mid`), "review identity_mismatch NOT_FOUND never order.review"},
		{"due: bad request", lost(&old), 0, codeBody("BAD_REQUEST"), "review bad_request NOT_FOUND never order.review"},

		// Found, but not final: it is an unresolved order again, with all that is due to one.
		{"due: NEW_ORDER", lost(&old), 0, answer(`status="NEW_ORDER"`), "deferred unresolved NEW_ORDER +24h0m0s -"},
		{"by hand: NEW_ORDER", lost(&soon), 0, answer(`status="NEW_ORDER"`), "deferred unresolved NEW_ORDER +24h0m0s -"},
		{"after it was done: NEW_ORDER", lost(nil), 0, answer(`status="NEW_ORDER"`), "deferred unresolved NEW_ORDER +24h0m0s -"},
		{"due: NEW_ORDER, beyond give-up", lost(&old, withAge(169*time.Hour)), 0, answer(`status="NEW_ORDER"`), "review query_window_over NEW_ORDER never order.review"},

		// The check did not take place: it is made up for, or left where it was.
		{"due: no answer", lost(&old), 503, "", "no_answer transient NOT_FOUND +5m0s -"},
		{"due: refused", lost(&old), 0, codeBody("1000"), "refused credentials NOT_FOUND +5m0s -"},
		{"due: merchant refused", lost(&old), 0, codeBody("NO_MERCHANT"), "refused merchant NOT_FOUND +5m0s -"},
		{"by hand: no answer", lost(&soon), 503, "", "no_answer transient NOT_FOUND +1h0m0s -"},
		{"after it was done: no answer", lost(nil), 503, "", "no_answer transient NOT_FOUND never -"},
		{"by hand: not understood", lost(&soon), 0, codeBody("TARGET_FAIL"), "not_found unknown_code NOT_FOUND +1h0m0s -"},
		{"after it was done: not understood", lost(nil), 0, codeBody("TARGET_FAIL"), "not_found unknown_code NOT_FOUND never -"},
		// A code of no document beside a trade status is trouble: the order may be there.
		{"due: not understood, but a trade status", lost(&old), 0, answer(`errCode="TARGET_FAIL"`), "no_answer transient NOT_FOUND +5m0s -"},
		{"due: busy", lost(&old), 0, codeBody("ORDER_PROCESSING"), "deferred order_processing NOT_FOUND +24h0m0s -"},
		{"due: busy, beyond give-up", lost(&old, withAge(400*time.Hour)), 0, codeBody("ORDER_PROCESSING"), "deferred order_processing NOT_FOUND +24h0m0s -"},
		{"by hand: busy", lost(&soon), 0, codeBody("ORDER_PROCESSING"), "deferred order_processing NOT_FOUND +1h0m0s -"},
	})
}

// Whatever comes at the late check but the order itself, the check is the last:
// a gateway that answers nonsense may not be asked about it for ever.
func TestLateCheckEnds(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, body := range []string{
		codeBody("TARGET_FAIL"), answer(`-status`), answer(`-errCode`), answer(`status="TRADE_FINISHED"`), answer(`errCode="NO_ORDER"`),
	} {
		o := anOrder(withAge(30*time.Hour), withStatus(order.StatusNotFound))
		asked, at := 0, now
		var out order.Outcome
		for ; o.NextQueryAt != nil && asked < 50; asked++ {
			out = testRules().Decide(o, ask(o, http.StatusOK, body), at)
			o.Status, o.NextQueryAt, o.ReviewReason, o.QueryCount = out.Status, out.NextQueryAt, out.ReviewReason, o.QueryCount+1
			if out.NextQueryAt != nil {
				at = *out.NextQueryAt
			}
		}
		if asked == 50 {
			t.Errorf("%s: still asked after 50 questions, %s after the order was made", out.Reason, at.Sub(o.CreatedAt))
		}
	}
}
