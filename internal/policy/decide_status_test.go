package policy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/order"
)

func TestTradeStatus(t *testing.T) {
	t.Parallel()
	// The expectations are lines of outcomeLine (main_test.go): decision, reason, status, next
	// question, event.
	checkDecided(t, []decided{
		{"TRADE_SUCCESS", anOrder(), 0, answer(), isPaid},
		{"TRADE_REFUND", anOrder(), 0, answer(`status="TRADE_REFUND"`, `refundAmount=1`), "settled trade_refund TRADE_REFUND never order.refunded"},
		{"TRADE_CLOSED", anOrder(), 0, answer(`status="TRADE_CLOSED"`), "settled trade_closed TRADE_CLOSED never order.closed"},
		{"NEW_ORDER", anOrder(), 0, answer(`status="NEW_ORDER"`), "deferred unresolved NEW_ORDER +15s -"},
		{"WAIT_BUYER_PAY", anOrder(), 0, answer(`status="WAIT_BUYER_PAY"`), "deferred unresolved WAIT_BUYER_PAY +15s -"},
		{"UNKNOWN", anOrder(withStatus(order.StatusNewOrder)), 0, answer(`status="UNKNOWN"`), "deferred unresolved UNKNOWN +15s -"},

		{"empty", anOrder(withStatus(order.StatusNewOrder)), 0, answer(`status=""`), "deferred no_status NEW_ORDER +15s -"},
		{"missing", anOrder(), 0, answer(`-status`), "deferred no_status UNKNOWN +15s -"},
		{"null", anOrder(), 0, answer(`status=null`), "deferred no_status UNKNOWN +15s -"},
		{"number", anOrder(), 0, answer(`status=1`), "deferred unreadable_status UNKNOWN +15s -"},
		{"list", anOrder(), 0, answer(`status=["TRADE_SUCCESS"]`), "deferred unreadable_status UNKNOWN +15s -"},
		{"twice, the same", anOrder(), 0, answer(`+status="TRADE_SUCCESS"`), isPaid},
		{"twice, paid last", anOrder(), 0, answer(`status="TRADE_CLOSED"`, `+status="TRADE_SUCCESS"`), "deferred unreadable_status UNKNOWN +15s -"},
		{"twice, paid first", anOrder(), 0, answer(`+status="TRADE_CLOSED"`), "deferred unreadable_status UNKNOWN +15s -"},
		{"twice, one empty", anOrder(), 0, answer(`+status=""`), "deferred unreadable_status UNKNOWN +15s -"},
		{"not known", anOrder(withStatus(order.StatusWaitBuyerPay)), 0, answer(`status="TRADE_FINISHED"`), "deferred unknown_status WAIT_BUYER_PAY +15s -"},
		{"lower case", anOrder(), 0, answer(`status="trade_success"`), "deferred unknown_status UNKNOWN +15s -"},
		{"with a space", anOrder(), 0, answer(`status="TRADE_SUCCESS "`), "deferred unknown_status UNKNOWN +15s -"},
		{"the envelope's word", anOrder(), 0, answer(`status="SUCCESS"`), "deferred unknown_status UNKNOWN +15s -"},
		{"ours", anOrder(), 0, answer(`status="NOT_FOUND"`), "deferred unknown_status UNKNOWN +15s -"},
		{"with a NUL", anOrder(), 0, answer(`status="TRADE_SUCCESS\u0000"`), "deferred unknown_status UNKNOWN +15s -"},
		{"only in another case of its key", anOrder(), 0, answer(`-status`, `STATUS="TRADE_SUCCESS"`), "deferred no_status UNKNOWN +15s -"},
		{"paid says only the channel's call", anOrder(), 0, answer(`-status`, `targetStatus="TRADE_SUCCESS"`), "deferred no_status UNKNOWN +15s -"},
		{"paid by its times alone", anOrder(), 0, answer(`status="NEW_ORDER"`, `payTime="2026-06-01 19:55:30"`), "deferred unresolved NEW_ORDER +15s -"},
	})
}

// A status that says nothing final changes the status and nothing else of the row.
func TestUnresolvedBooksNothing(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, status := range []string{"NEW_ORDER", "WAIT_BUYER_PAY", "UNKNOWN"} {
		o := anOrder(withNumbers(testMer, ""))
		out := testRules().Decide(o, ask(o, http.StatusOK, answer(`status="`+status+`"`)), now)
		if out.Booking != (order.Booking{}) || out.LastError != "" {
			t.Errorf("%s: settlement %+v, last error %q, want none", status, out.Booking, out.LastError)
		}
	}
}

// An answer that is not understood is told: it goes to last_error and the log, and is counted.
func TestNotUnderstoodIsSaid(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, tt := range []struct {
		body, says string
		unexpected bool
	}{
		{answer(`status="TRADE_FINISHED"`), "TRADE_FINISHED", true},
		{answer(`status="` + strings.Repeat("交易", 50) + `"`), `the status "` + strings.Repeat("交易", 33) + `"… is not known`, true}, // cut between characters
		{answer(`-status`), "no status", true},
		{answer(`status=1`), "not a text", true},
		{answer(`+status="NEW_ORDER"`), "twice", true},
		{codeBody("TARGET_FAIL"), "TARGET_FAIL", true},
		{answer(`-errCode`), "without a readable code", true},
		{codeBody("ORDER_PROCESSING"), "operation", false},
		{codeBody("NO_ORDER"), "NO_ORDER", false},
		{answer(`status="NEW_ORDER"`), "", false},
		{answer(), "", false},
	} {
		o := anOrder()
		out := testRules().Decide(o, ask(o, http.StatusOK, tt.body), now)
		if !strings.Contains(out.LastError, tt.says) || (tt.says == "") != (out.LastError == "") {
			t.Errorf("%s: last error %q, want %q in it", outcomeLine(out), out.LastError, tt.says)
		}
		if got := slices.Contains(order.UnexpectedReasons(), out.Reason); got != tt.unexpected {
			t.Errorf("%s: unexpected = %t, want %t", outcomeLine(out), got, tt.unexpected)
		}
	}
}

// While the order's expiry is still to come, the next question comes at the latest a minute after
// it. That is so only after an answer that said "not yet".
func TestExpiryBringsTheQuestionForward(t *testing.T) {
	t.Parallel()
	const far = 20 // the plan's wait is an hour by then
	wait := answer(`status="WAIT_BUYER_PAY"`)
	justExpired := anOrder(withQueryCount(far), withAge(30*time.Minute+time.Nanosecond))
	checkDecided(t, []decided{
		{"WAIT_BUYER_PAY", anOrder(withQueryCount(far)), 0, wait, "deferred unresolved WAIT_BUYER_PAY +21m0s -"},
		{"NEW_ORDER", anOrder(withQueryCount(far)), 0, answer(`status="NEW_ORDER"`), "deferred unresolved NEW_ORDER +21m0s -"},
		{"UNKNOWN", anOrder(withQueryCount(far)), 0, answer(`status="UNKNOWN"`), "deferred unresolved UNKNOWN +21m0s -"},
		{"the plan is sooner", anOrder(withQueryCount(6)), 0, wait, "deferred unresolved WAIT_BUYER_PAY +16m0s -"},
		{"a second before expiry", anOrder(withQueryCount(far), expiringAt(now.Add(time.Second))), 0, wait, "deferred unresolved WAIT_BUYER_PAY +1m1s -"},
		{"expired", justExpired, 0, wait, "deferred unresolved WAIT_BUYER_PAY +1h0m0s -"},
		{"old, with a late expiry", anOrder(withAge(25*time.Hour), expiringAt(now.Add(time.Hour))), 0, wait, "deferred unresolved WAIT_BUYER_PAY +1h1m0s -"},

		{"not known", anOrder(withQueryCount(far)), 0, answer(`status="TRADE_FINISHED"`), "deferred unknown_status UNKNOWN +1h0m0s -"},
		{"no status", anOrder(withQueryCount(far)), 0, answer(`-status`), "deferred no_status UNKNOWN +1h0m0s -"},
		{"NO_ORDER", anOrder(withQueryCount(far)), 0, codeBody("NO_ORDER"), "deferred no_order UNKNOWN +1h0m0s -"},
		{"unknown code", anOrder(withQueryCount(far)), 0, codeBody("TARGET_FAIL"), "deferred unknown_code UNKNOWN +1h0m0s -"},
		{"ORDER_PROCESSING", anOrder(withQueryCount(far)), 0, codeBody("ORDER_PROCESSING"), "deferred order_processing UNKNOWN +1h0m0s -"},
		{"under review", anOrder(withQueryCount(far), underReview(order.ReviewAmountMismatch)), 0, wait, "deferred unresolved WAIT_BUYER_PAY never -"},
	})
}

func TestGiveUp(t *testing.T) {
	t.Parallel()
	at, over := anOrder(withAge(168*time.Hour)), anOrder(withAge(168*time.Hour+time.Nanosecond))
	wait := answer(`status="WAIT_BUYER_PAY"`)
	const windowOver = "review query_window_over UNKNOWN never order.review"
	checkDecided(t, []decided{
		{"at the age", at, 0, wait, "deferred unresolved WAIT_BUYER_PAY +24h0m0s -"},
		{"older, the status is kept all the same", over, 0, wait, "review query_window_over WAIT_BUYER_PAY never order.review"},
		{"older, new order", over, 0, answer(`status="NEW_ORDER"`), "review query_window_over NEW_ORDER never order.review"},
		{"older, unexpired", anOrder(withAge(169*time.Hour), expiringAt(now.Add(time.Hour))), 0, wait, "review query_window_over WAIT_BUYER_PAY never order.review"},

		// The present answer counts: the last question may still settle.
		{"older, paid", over, 0, answer(), isPaid},
		{"older, closed", over, 0, answer(`status="TRADE_CLOSED"`), "settled trade_closed TRADE_CLOSED never order.closed"},
		{"older, wrong amount", over, 0, answer(`totalAmount=1`), "review amount_mismatch UNKNOWN never order.review"},
		{"older, another order", over, 0, answer(`-mid`), wrongIdentity},

		// An answer that is not understood is an answer.
		{"older, unknown status", over, 0, answer(`status="TRADE_FINISHED"`), windowOver},
		{"older, no status", over, 0, answer(`-status`), windowOver},
		{"older, two statuses", over, 0, answer(`+status="NEW_ORDER"`), windowOver},
		{"older, unknown code", over, 0, codeBody("TARGET_FAIL"), windowOver},
		{"older, no code", over, 0, answer(`-errCode`), windowOver},
		{"older, ORDER_PROCESSING", over, 0, codeBody("ORDER_PROCESSING"), windowOver},
		{"older, BAD_REQUEST", over, 0, codeBody("BAD_REQUEST"), "review bad_request UNKNOWN never order.review"},

		// No answer and a refusal are none.
		{"older, no answer", over, 0, codeBody("TIMEOUT"), "no_answer transient UNKNOWN +5m0s -"},
		{"older, HTTP 503", over, http.StatusServiceUnavailable, "<html>", "no_answer transient UNKNOWN +5m0s -"},
		{"older, our credentials refused", over, http.StatusPreconditionFailed, codeBody("1000"), "refused credentials UNKNOWN +5m0s -"},
		{"older, merchant refused", over, 0, codeBody("NO_MERCHANT"), "refused merchant UNKNOWN +5m0s -"},

		{"already under review", anOrder(withAge(200*time.Hour), underReview(order.ReviewWindowOver)), 0, wait, "deferred unresolved WAIT_BUYER_PAY never -"},
	})
}

// Only HTTP 200 can settle. Otherwise the code decides, if it is one that has a
// row; SUCCESS and what is not known are decoding trouble beside a trade status.
func TestStatusWithoutHTTP200(t *testing.T) {
	t.Parallel()
	var tests []decided
	for _, http := range []int{201, 202, 206, 301, 400, 401, 403, 404, 412, 429, 500, 502, 503} {
		for code, want := range map[string]string{
			`errCode="SUCCESS"`:          "no_answer transient UNKNOWN +15s -",
			`errCode="TARGET_FAIL"`:      "no_answer transient UNKNOWN +15s -",
			`-errCode`:                   "no_answer transient UNKNOWN +15s -",
			`errCode=null`:               "no_answer transient UNKNOWN +15s -",
			`+errCode="NO_ORDER"`:        "no_answer transient UNKNOWN +15s -",
			`errCode="9200"`:             "no_answer transient UNKNOWN +15s -",
			`errCode="NO_ORDER"`:         "deferred no_order UNKNOWN +15s -",
			`errCode="ORDER_PROCESSING"`: "deferred order_processing UNKNOWN +1m0s -",
			`errCode="9001"`:             "review bad_request UNKNOWN never order.review",
			`errCode="1000"`:             "refused credentials UNKNOWN +15s -",
			`errCode="NO_MERCHANT"`:      "refused merchant UNKNOWN +15s -",
		} {
			if overloaded := http == 429 || http >= 500; overloaded && !strings.HasPrefix(want, "refused") {
				want = "no_answer transient UNKNOWN +15s -"
			}
			for _, status := range []string{"TRADE_SUCCESS", "TRADE_CLOSED", "NEW_ORDER", "TRADE_FINISHED"} {
				tests = append(tests, decided{
					name: fmt.Sprintf("%d %s %s", http, code, status), order: anOrder(), status: http,
					body: answer(code, `status="`+status+`"`), want: want,
				})
			}
		}
	}
	checkDecided(t, tests)
}
