package policy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"reconciler/internal/order"
)

// The expectations are lines of outcomeLine (main_test.go): decision, reason, status, next
// question, event.
const (
	wrongIdentity = "review identity_mismatch UNKNOWN never order.review"
	isPaid        = "settled trade_success TRADE_SUCCESS never order.paid"
)

func TestIdentity(t *testing.T) {
	t.Parallel()
	mer, target, both := anOrder(), anOrder(withNumbers("", testTarget)), anOrder(withNumbers(testMer, testTarget))
	const otherMer, otherTarget = `merOrderId="319400000000"`, `targetOrderId="420000000000"`
	checkDecided(t, []decided{
		{"all equal", both, 0, answer(), isPaid},

		{"merchant missing", mer, 0, answer("-mid"), wrongIdentity},
		{"merchant null", mer, 0, answer("mid=null"), wrongIdentity},
		{"merchant empty", mer, 0, answer(`mid=""`), wrongIdentity},
		{"merchant other", mer, 0, answer(`mid="` + otherMID + `"`), wrongIdentity},
		{"merchant with a space", mer, 0, answer(`mid="` + testMID + ` "`), wrongIdentity},
		{"merchant of another kind", mer, 0, answer(`mid=["` + testMID + `"]`), wrongIdentity},
		{"merchant twice, different, right one last", mer, 0, answer(`mid="`+otherMID+`"`, `+mid="`+testMID+`"`), wrongIdentity},
		{"merchant twice, one empty", mer, 0, answer(`+mid=""`), wrongIdentity},
		{"merchant twice, the same", mer, 0, answer(`+mid="` + testMID + `"`), isPaid},
		{"merchant other for an order with both numbers right", both, 0, answer(`mid="` + otherMID + `"`), wrongIdentity},

		{"only the merchant's number held: missing", mer, 0, answer("-merOrderId"), wrongIdentity},
		{"only the merchant's number held: other", mer, 0, answer(otherMer), wrongIdentity},
		{"only the merchant's number held: other case", mer, 0, answer(`merOrderId="` + strings.ToLower(testMer) + `"`), wrongIdentity},
		{"only the merchant's number held: twice, different", mer, 0, answer(`+` + otherMer), wrongIdentity},
		{"only the merchant's number held: of another kind", mer, 0, answer(`merOrderId={}`), wrongIdentity},
		{"only the merchant's number held: no channel number answered", mer, 0, answer("-targetOrderId"), isPaid},
		{"only the merchant's number held: any channel number answered", mer, 0, answer(otherTarget), isPaid},
		{"only the merchant's number held: neither answered", mer, 0, answer("-merOrderId", "-targetOrderId"), wrongIdentity},

		{"only the channel's number held: missing", target, 0, answer("-targetOrderId"), wrongIdentity},
		{"only the channel's number held: null", target, 0, answer("targetOrderId=null"), wrongIdentity},
		{"only the channel's number held: other", target, 0, answer(otherTarget), wrongIdentity},
		{"only the channel's number held: no merchant's number answered", target, 0, answer("-merOrderId"), isPaid},
		{"only the channel's number held: any merchant's number answered", target, 0, answer(otherMer), isPaid},
		{"only the channel's number held: neither answered", target, 0, answer("-merOrderId", "-targetOrderId"), wrongIdentity},

		{"both held: only the merchant's answered", both, 0, answer("-targetOrderId"), isPaid},
		{"both held: only the channel's answered", both, 0, answer("-merOrderId"), isPaid},
		{"both held: channel's different", both, 0, answer(otherTarget), wrongIdentity},
		{"both held: merchant's different", both, 0, answer(otherMer), wrongIdentity},
		{"both held: channel's unreadable", both, 0, answer(`targetOrderId=true`), wrongIdentity},
		{"both held: merchant's twice, one different", both, 0, answer(`+` + otherMer), wrongIdentity},
		{"both held: both different", both, 0, answer(otherMer, otherTarget), wrongIdentity},
		{"both held: each in the other's place", both, 0, answer(`merOrderId="`+testTarget+`"`, `targetOrderId="`+testMer+`"`), wrongIdentity},
		{"both held: neither answered", both, 0, answer("-merOrderId", "-targetOrderId"), wrongIdentity},

		// The terminal is not part of the rule: the gateway does not look at it either.
		{"terminal other", mer, 0, answer(`tid="99990001"`), isPaid},
		{"terminal missing", mer, 0, answer(`-tid`), isPaid},
	})
}

// Identity goes before every other row that reads a trade status, whatever the
// status, the code and the HTTP status are.
func TestIdentityGoesFirst(t *testing.T) {
	t.Parallel()
	var tests []decided
	for _, status := range []string{
		`status="TRADE_SUCCESS"`, `status="TRADE_REFUND"`, `status="TRADE_CLOSED"`, `status="NEW_ORDER"`,
		`status="WAIT_BUYER_PAY"`, `status="UNKNOWN"`, `status="SUCCESS"`, `status="paid"`, `+status="TRADE_CLOSED"`,
	} {
		for _, code := range []string{`errCode="SUCCESS"`, `errCode="NO_ORDER"`, `errCode="9200"`, `errCode="1000"`, `errCode="NO_MERCHANT"`, `errCode="TARGET_FAIL"`, `-errCode`} {
			for _, http := range []int{200, 201, 404, 412, 429, 500} {
				tests = append(tests, decided{
					name: fmt.Sprintf("%d %s %s", http, code, status), order: anOrder(), status: http,
					body: answer(code, status, `mid="`+otherMID+`"`), want: wrongIdentity,
				})
			}
		}
	}
	checkDecided(t, tests)
}

// Without a trade status there is nothing that could be about another order: the
// gateway's refusals often lack mid and numbers.
func TestIdentityNeedsAStatus(t *testing.T) {
	t.Parallel()
	const stranger = `mid="` + otherMID + `"`
	checkDecided(t, []decided{
		{"empty", anOrder(), 0, answer(`status=""`, stranger), "deferred no_status UNKNOWN +15s -"},
		{"missing", anOrder(), 0, answer(`-status`, stranger), "deferred no_status UNKNOWN +15s -"},
		{"null", anOrder(), 0, answer(`status=null`, stranger), "deferred no_status UNKNOWN +15s -"},
		{"number", anOrder(), 0, answer(`status=1`, stranger), "deferred unreadable_status UNKNOWN +15s -"},
		{"empty with HTTP 404", anOrder(), http.StatusNotFound, answer(`status=""`, stranger), "no_answer transient UNKNOWN +15s -"},
		{"NO_ORDER without anything", anOrder(), 0, `{"errCode":"NO_ORDER"}`, "deferred no_order UNKNOWN +15s -"},
	})
}

func TestIdentityUnderReview(t *testing.T) {
	t.Parallel()
	stranger := answer(`mid="` + otherMID + `"`)
	checkDecided(t, []decided{
		{"for the same reason", anOrder(underReview(order.ReviewIdentityMismatch)), 0, stranger, "review identity_mismatch UNKNOWN never -"},
		{"for another reason", anOrder(underReview(order.ReviewAmountMismatch)), 0, stranger, wrongIdentity},
		{"in its late check", anOrder(withStatus(order.StatusNotFound)), 0, stranger, "review identity_mismatch NOT_FOUND never order.review"},
	})
}

func TestIdentityNoteNamesBothSides(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, tt := range []struct {
		body  string
		wants []string
	}{
		{answer(`mid="` + otherMID + `"`), []string{testMID, otherMID}},
		{answer(`-mid`), []string{testMID, "(none)"}},
		{answer(`merOrderId="319400000000"`), []string{testMer, "319400000000"}},
		{answer(`+merOrderId="319400000000"`), []string{testMer, "twice"}},
		{answer(`-merOrderId`), []string{"neither"}},
	} {
		o := anOrder()
		out := testRules().Decide(o, ask(o, http.StatusOK, tt.body), now)
		for _, want := range tt.wants {
			if !strings.Contains(out.ReviewNote, want) {
				t.Errorf("note %q lacks %q", out.ReviewNote, want)
			}
		}
	}
}

// An answer that contradicts nothing and merely lacks the proof is no reason to call a person,
// unless it would settle the order. Its status is not written.
func TestUnprovenIdentity(t *testing.T) {
	t.Parallel()
	const deferred = "deferred identity_unproven UNKNOWN +15s -"
	checkDecided(t, []decided{
		{"no merchant", anOrder(), 0, answer("-mid", `status="WAIT_BUYER_PAY"`), deferred},
		{"no number", anOrder(), 0, answer("-merOrderId", "-targetOrderId", `status="NEW_ORDER"`), deferred},
		{"only a number that the row lacks", anOrder(), 0, answer("-merOrderId", `status="UNKNOWN"`), deferred},
		{"a status that nobody knows", anOrder(), 0, answer("-mid", `status="TRADE_FINISHED"`), deferred},
		{"another merchant", anOrder(), 0, answer(`mid="`+otherMID+`"`, `status="WAIT_BUYER_PAY"`), wrongIdentity},
		{"another number and no merchant", anOrder(), 0, answer("-mid", `merOrderId="319400000000"`, `status="NEW_ORDER"`), wrongIdentity},
		{"no merchant, closed", anOrder(), 0, answer("-mid", `status="TRADE_CLOSED"`), wrongIdentity},
		{"no number, paid", anOrder(), 0, answer("-merOrderId", "-targetOrderId"), wrongIdentity},
		{"too old", anOrder(withAge(200 * time.Hour)), 0, answer("-mid", `status="NEW_ORDER"`), "review query_window_over UNKNOWN never order.review"},
	})
}

// What a load balancer calls "status" is no trade status: an outage spends no plan, whatever its
// body says, and a late check goes on.
func TestUnprovenIdentityInAnOutage(t *testing.T) {
	t.Parallel()
	const busy = `{"status":"error","message":"no healthy upstream"}`
	var tests []decided
	for _, http := range []int{429, 500, 502, 503, 504} {
		tests = append(
			tests,
			decided{fmt.Sprintf("%d", http), anOrder(), http, busy, "no_answer transient UNKNOWN +15s -"},
			decided{fmt.Sprintf("%d, too old", http), anOrder(withAge(200 * time.Hour)), http, busy, "no_answer transient UNKNOWN +5m0s -"},
			decided{fmt.Sprintf("%d, late check", http), anOrder(withStatus(order.StatusNotFound), withAge(200*time.Hour)), http, busy, "no_answer transient NOT_FOUND +5m0s -"},
			decided{fmt.Sprintf("%d, credentials", http), anOrder(), http, `{"errCode":"1000","status":"error"}`, "refused credentials UNKNOWN +15s -"},
			decided{fmt.Sprintf("%d, paid", http), anOrder(), http, `{"status":"TRADE_SUCCESS"}`, wrongIdentity},
		)
	}
	checkDecided(t, tests)
}

// Trouble is the order's own where others of its app were answered since its last question.
func TestUnusableAnswer(t *testing.T) {
	t.Parallel()
	asked := now.Add(-time.Minute)
	for _, tt := range []struct {
		name         string
		lastQueried  *time.Time
		othersAnswer time.Time
		want         string
	}{
		{"first question", nil, now, "no_answer transient UNKNOWN +15s -"},
		{"nobody was answered", &asked, time.Time{}, "no_answer transient UNKNOWN +15s -"},
		{"others were answered before", &asked, asked.Add(-time.Second), "no_answer transient UNKNOWN +15s -"},
		{"others were answered since", &asked, asked.Add(time.Second), "deferred unusable_answer UNKNOWN +15s -"},
	} {
		o := anOrder()
		o.LastQueriedAt = tt.lastQueried
		reply := newAsker(t)(o, http.StatusServiceUnavailable, "busy")
		reply.OthersAnsweredAt = tt.othersAnswer
		if got := outcomeLine(testRules().Decide(o, reply, now)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	o := anOrder(withAge(200 * time.Hour))
	o.LastQueriedAt = &asked
	reply := newAsker(t)(o, http.StatusServiceUnavailable, "busy")
	reply.OthersAnsweredAt = now
	if got := outcomeLine(testRules().Decide(o, reply, now)); got != "review query_window_over UNKNOWN never order.review" {
		t.Errorf("at the give-up age: %s", got)
	}
	lost := anOrder(withAge(200*time.Hour), withStatus(order.StatusNotFound))
	lost.LastQueriedAt = &asked
	late := newAsker(t)(lost, http.StatusServiceUnavailable, "busy")
	late.OthersAnsweredAt = now
	if got := outcomeLine(testRules().Decide(lost, late, now)); got != "no_answer transient NOT_FOUND +5m0s -" {
		t.Errorf("NOT_FOUND: %s", got)
	}
}
