package policy

import (
	"net/http"
	"testing"
	"time"

	"reconciler/internal/order"
)

// Orders under review are asked by hand. An answer that settles one ends the
// review; any other leaves it, without a due time and without a second event.
func TestUnderReview(t *testing.T) {
	t.Parallel()
	mismatch := anOrder(underReview(order.ReviewAmountMismatch))
	over := anOrder(withAge(200*time.Hour), underReview(order.ReviewWindowOver))
	// The expectations are lines of outcomeLine (main_test.go): decision, reason, status, next
	// question, event.
	checkDecided(t, []decided{
		{"paid", mismatch, 0, answer(), isPaid},
		{"refunded", mismatch, 0, answer(`status="TRADE_REFUND"`), "settled trade_refund TRADE_REFUND never order.refunded"},
		{"closed", over, 0, answer(`status="TRADE_CLOSED"`), "settled trade_closed TRADE_CLOSED never order.closed"},
		{"paid, given up on", over, 0, answer(), isPaid},
		{"paid, unwritable before", anOrder(underReview(order.ReviewUnwritable)), 0, answer(), isPaid},

		{"same reason again", mismatch, 0, answer(`totalAmount=1`), "review amount_mismatch UNKNOWN never -"},
		{"another reason", mismatch, 0, answer(`-totalAmount`), "review amount_missing UNKNOWN never order.review"},
		{"another reason still", over, 0, answer(`totalAmount=1`), "review amount_mismatch UNKNOWN never order.review"},

		{"not yet", mismatch, 0, answer(`status="WAIT_BUYER_PAY"`), "deferred unresolved WAIT_BUYER_PAY never -"},
		{"not yet, given up on", over, 0, answer(`status="WAIT_BUYER_PAY"`), "deferred unresolved WAIT_BUYER_PAY never -"},
		{"not yet, old, another reason", anOrder(withAge(200*time.Hour), underReview(order.ReviewAmountMismatch)), 0, answer(`status="NEW_ORDER"`), "deferred unresolved NEW_ORDER never -"},
		{"not understood", mismatch, 0, answer(`status="TRADE_FINISHED"`), "deferred unknown_status UNKNOWN never -"},
		{"unknown code", mismatch, 0, codeBody("TARGET_FAIL"), "deferred unknown_code UNKNOWN never -"},
		{"NO_ORDER", mismatch, 0, codeBody("NO_ORDER"), "deferred no_order UNKNOWN never -"},
		{"no answer", mismatch, 503, "", "no_answer transient UNKNOWN never -"},
		{"refused", mismatch, 0, codeBody("BAD_SIGN"), "refused credentials UNKNOWN never -"},
	})
}

// An order whose late check found the wrong amount is NOT_FOUND and under review. A
// NO_ORDER by hand settles nothing: the review must stand, or nobody would look again.
func TestNotFoundUnderReviewStays(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, reason := range []string{order.ReviewAmountMismatch, order.ReviewAmountMissing, order.ReviewIdentityMismatch, order.ReviewBadRequest, order.ReviewUnwritable} {
		o := anOrder(withAge(40*time.Hour), withStatus(order.StatusNotFound), underReview(reason))
		out := testRules().Decide(o, ask(o, http.StatusOK, codeBody("NO_ORDER")), now)
		if out.ChangesOrder() {
			t.Errorf("%s: %s ends the review", reason, outcomeLine(out))
		}
	}
}

// What an order says of itself (Changes) and what the application is told go
// together: an event for each change of status that matters and each new review.
func TestEventsGoWithChanges(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, o := range []order.Order{
		anOrder(), anOrder(underReview(order.ReviewAmountMismatch)), anOrder(withAge(200 * time.Hour)), anOrder(withStatus(order.StatusNotFound)),
	} {
		for _, body := range []string{
			answer(), answer(`totalAmount=1`), answer(`-totalAmount`), answer(`-mid`), answer(`status="TRADE_CLOSED"`),
			answer(`status="UNKNOWN"`), answer(`-status`), codeBody("BAD_REQUEST"), codeBody("TARGET_FAIL"), codeBody("TIMEOUT"), codeBody("1000"),
		} {
			out := testRules().Decide(o, ask(o, http.StatusOK, body), now)
			again := o.Status == order.StatusNotFound && out.Status == order.StatusUnknown // found again: no event is named for it
			if (out.Event != "") != out.ChangesOrder() && !again {
				t.Errorf("%s under %q: %s, changes %t", o.Status, o.ReviewReason, outcomeLine(out), out.ChangesOrder())
			}
		}
	}
}
