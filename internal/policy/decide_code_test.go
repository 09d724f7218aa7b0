package policy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

func TestEveryCode(t *testing.T) {
	t.Parallel()
	// The expectations are lines of outcomeLine (main_test.go): decision, reason, status, next
	// question, event.
	var tests []decided
	for codes, want := range map[string]string{
		"NO_ORDER":         "deferred no_order UNKNOWN +15s -",
		"ORDER_PROCESSING": "deferred order_processing UNKNOWN +1m0s -",
		"BAD_REQUEST 9001": "review bad_request UNKNOWN never order.review",
		"1000 1001 BAD_SIGN INVALID_MSGSRC DENIED_IP ABNORMAL_REQUEST_TIME NO_SERVICE":          "refused credentials UNKNOWN +15s -",
		"NO_MERCHANT INACTIVE_MERCHANT INVLID_MERCHANT_CONFIG":                                  "refused merchant UNKNOWN +15s -",
		"9200 9999 INTERNAL_ERROR TIMEOUT NET_ERROR TXN_DISCARDED INVALID_RESPONSE SYSTEM_BUSY": "no_answer transient UNKNOWN +15s -",
		// The vendor's other codes, words of no document, and the right spelling of the wrong one.
		"TARGET_FAIL OPERATION_NOT_ALLOWED DUP_ORDER INVALID_ORDER NO_CROSS_DAY_TRADING HAS_CANCELLED NO_BILL " +
			"0000 success Success no_order INVALID_MERCHANT_CONFIG TRADE_SUCCESS 9202": "deferred unknown_code UNKNOWN +15s -",
	} {
		for code := range strings.FieldsSeq(codes) {
			for _, body := range []string{codeBody(code), fmt.Sprintf(`{"errCode":%q,"errInfo":"no"}`, code), answer(`errCode="` + code + `"`)} {
				want := want
				if strings.Contains(body, `"status"`) {
					switch {
					case code == "NO_ORDER":
						continue // it contradicts itself: TestNoOrderWithATradeStatusIsNotBelieved
					case strings.HasPrefix(want, "deferred unknown_code"):
						want = "no_answer transient UNKNOWN +15s -" // row 8: no code of the table
					}
				}
				tests = append(tests, decided{name: code, order: anOrder(), body: body, want: want})
			}
			if strings.HasPrefix(want, "deferred unknown_code") {
				continue
			}
			tests = append(tests, decided{name: code + " 412", order: anOrder(), status: http.StatusPreconditionFailed, body: codeBody(code), want: want})
		}
	}
	checkDecided(t, tests)
}

func TestCodeMissingOrUnreadable(t *testing.T) {
	t.Parallel()
	const noCode = "deferred no_code UNKNOWN +15s -"
	checkDecided(t, []decided{
		{"missing", anOrder(), 0, answer(`-errCode`), noCode},
		{"missing, nothing else", anOrder(), 0, `{}`, noCode},
		{"null", anOrder(), 0, answer(`errCode=null`), noCode},
		{"empty", anOrder(), 0, answer(`errCode=""`), noCode},
		{"list", anOrder(), 0, answer(`errCode=["SUCCESS"]`), noCode},
		{"twice, different", anOrder(), 0, answer(`+errCode="NO_ORDER"`), noCode},
		{"twice, different, SUCCESS last", anOrder(), 0, answer(`errCode="9200"`, `+errCode="SUCCESS"`), noCode},
		{"twice, the same", anOrder(), 0, answer(`+errCode="SUCCESS"`), isPaid},
		{"in another case of its key", anOrder(), 0, answer(`-errCode`, `errcode="SUCCESS"`), noCode},
		{"a number", anOrder(), 0, answer(`errCode=9200`), "no_answer transient UNKNOWN +15s -"},
	})
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	const noAnswer = "no_answer transient UNKNOWN +15s -"
	checkDecided(t, []decided{
		{"429", anOrder(), 429, `{}`, noAnswer},
		{"429 with a code", anOrder(), 429, codeBody("NO_ORDER"), noAnswer},
		{"500 with a code", anOrder(), 500, codeBody("BAD_REQUEST"), noAnswer},
		{"503 with refused credentials", anOrder(), 503, codeBody("1000"), noAnswer},
		{"502 page", anOrder(), 502, "<html>Bad Gateway</html>", noAnswer},
		{"599", anOrder(), 599, `{}`, noAnswer},
		{"404 page", anOrder(), 404, "404 page not found", noAnswer},
		{"302", anOrder(), 302, "", noAnswer},
		{"412 without a code", anOrder(), 412, `{}`, noAnswer},
		{"404 with SUCCESS", anOrder(), 404, `{"errCode":"SUCCESS"}`, noAnswer},
		{"412 with an unknown code", anOrder(), 412, `{"errCode":"7777"}`, "deferred unknown_code UNKNOWN +15s -"},
		{"200 page", anOrder(), 200, "<html>login</html>", noAnswer},
		{"200 with nothing", anOrder(), 200, "", noAnswer},
		{"200 list", anOrder(), 200, `[` + answer() + `]`, noAnswer},
		{"200 text", anOrder(), 200, `"SUCCESS"`, noAnswer},
		{"200 cut off", anOrder(), 200, strings.TrimSuffix(answer(), "}"), noAnswer},
		{"200 two answers", anOrder(), 200, answer() + answer(), noAnswer},
		{"200 oversize", anOrder(), 200, strings.Repeat(" ", 1<<20) + answer(), noAnswer},

		// The plan's present wait, at most five minutes.
		{"third wait", anOrder(withQueryCount(2)), 503, "", "no_answer transient UNKNOWN +1m0s -"},
		{"sixth wait", anOrder(withQueryCount(5)), 503, "", "no_answer transient UNKNOWN +5m0s -"},
		{"old order", anOrder(withAge(25 * time.Hour)), 503, "", "no_answer transient UNKNOWN +5m0s -"},
		{"refused, sixth wait", anOrder(withQueryCount(5)), 0, codeBody("1001"), "refused credentials UNKNOWN +5m0s -"},
		{"merchant refused, sixth wait", anOrder(withQueryCount(5)), 0, codeBody("NO_MERCHANT"), "refused merchant UNKNOWN +5m0s -"},
		{"the status stays", anOrder(withStatus(order.StatusWaitBuyerPay)), 503, "", "no_answer transient WAIT_BUYER_PAY +15s -"},
		{"under review", anOrder(underReview(order.ReviewAmountMismatch)), 503, "", "no_answer transient UNKNOWN never -"},
		{"refused, under review", anOrder(underReview(order.ReviewAmountMismatch)), 0, codeBody("1000"), "refused credentials UNKNOWN never -"},
	})
}

func TestOrderProcessing(t *testing.T) {
	t.Parallel()
	busy := codeBody("ORDER_PROCESSING")
	checkDecided(t, []decided{
		{"first wait is too short", anOrder(), 0, busy, "deferred order_processing UNKNOWN +1m0s -"},
		{"third wait is a minute", anOrder(withQueryCount(2)), 0, busy, "deferred order_processing UNKNOWN +1m0s -"},
		{"fourth wait is longer", anOrder(withQueryCount(3)), 0, busy, "deferred order_processing UNKNOWN +2m0s -"},
		{"never sooner, also at expiry", anOrder(expiringAt(now.Add(time.Second))), 0, busy, "deferred order_processing UNKNOWN +1m0s -"},
		{"under review", anOrder(underReview(order.ReviewAmountMismatch)), 0, busy, "deferred order_processing UNKNOWN never -"},
		{"with a trade status that looks final", anOrder(), 0, answer(`errCode="ORDER_PROCESSING"`), "deferred order_processing UNKNOWN +1m0s -"},
	})
}

// Trouble that is not the protocol's own: nothing may come of it but another question.
func TestForeignTrouble(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	o := anOrder()
	paid := ask(o, http.StatusOK, answer())
	for _, trouble := range []error{
		errors.New("out of file descriptors"),
		fmt.Errorf("wrapped: %w", &chinaums.Error{Class: chinaums.ClassTransient}),
		&chinaums.Error{},
		&chinaums.Error{Class: "a class of the future"},
	} {
		r := Reply{Answer: paid.Answer, Trouble: trouble}
		out := testRules().Decide(o, r, now)
		if out.Decision != order.NoAnswer || out.NextQueryAt == nil || out.LastError == "" {
			t.Errorf("%v: %s, last error %q; want no_answer with a due time and the trouble", trouble, outcomeLine(out), out.LastError)
		}
	}
}

func TestBadRequestNoteSaysWhy(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	o := anOrder()
	out := testRules().Decide(o, ask(o, http.StatusOK, `{"errCode":"BAD_REQUEST","errMsg":"参数不合法: tid"}`), now)
	if !strings.Contains(out.ReviewNote, "参数不合法: tid") {
		t.Errorf("note %q lacks the gateway's words", out.ReviewNote)
	}
	o = anOrder(underReview(order.ReviewBadRequest))
	if out := testRules().Decide(o, ask(o, http.StatusOK, codeBody("BAD_REQUEST")), now); out.Event != "" {
		t.Errorf("event %s for a review that stands already", out.Event)
	}
}
