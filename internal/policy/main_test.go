package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

const (
	testMID    = "898340149000005"
	otherMID   = "898340149000006"
	testTID    = "88880001"
	testMer    = "319420260601100000ABCDEFGHIJ"
	testTarget = "4200001234202606011234567890"
	testAmount = 1000
)

// now is when the answers of the tables come.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func credentials() chinaums.Credentials {
	return chinaums.Credentials{AppID: "test-app", AppKey: "test-key"}
}

// testRules are the default rules without jitter.
func testRules() Rules { return Rules{Plan: testPlan()} }

// testPlan is the default plan without jitter, so that each wait is a round number.
func testPlan() Plan {
	return Plan{
		Initial: 15 * time.Second, Multiplier: 2, Max: time.Hour,
		SlowAfter: 24 * time.Hour, GiveUpAfter: 168 * time.Hour, NotFoundAfter: 2 * time.Hour,
	}
}

// change is a deviation from the ordinary order: ten minutes old, open for another
// twenty, due since now, never answered.
type change func(*order.Order)

func anOrder(changes ...change) order.Order {
	o := order.Order{
		ID: 7, MID: testMID, TID: testTID, InstMID: "MINIDEFAULT", MerOrderID: testMer,
		OrderAmount: testAmount, Status: order.StatusUnknown, ClaimNo: 1, ClaimedAt: now, NextQueryAt: new(now),
	}
	withAge(10 * time.Minute)(&o)
	for _, c := range changes {
		c(&o)
	}
	return o
}

func withAge(age time.Duration) change {
	return func(o *order.Order) {
		o.CreatedAt = now.Add(-age)
		o.ExpiresAt = o.CreatedAt.Add(30 * time.Minute)
	}
}

func withNumbers(mer, target string) change {
	return func(o *order.Order) { o.MerOrderID, o.TargetOrderID = mer, target }
}

func withQueryCount(n int) change      { return func(o *order.Order) { o.QueryCount = n } }
func withStatus(s order.Status) change { return func(o *order.Order) { o.Status = s } }
func dueAt(at *time.Time) change       { return func(o *order.Order) { o.NextQueryAt = at } }
func expiringAt(at time.Time) change   { return func(o *order.Order) { o.ExpiresAt = at } }
func underReview(reason string) change {
	return func(o *order.Order) { o.ReviewReason, o.NextQueryAt = reason, nil }
}

// answer is the body of a paid order's answer, changed: `key=value` replaces or
// adds a member, `-key` takes it away, `+key=value` gives it once more.
func answer(changes ...string) string {
	members := []string{
		`errCode="SUCCESS"`, `errMsg="查询成功"`, `mid="` + testMID + `"`, `tid="` + testTID + `"`,
		`merOrderId="` + testMer + `"`, `targetOrderId="` + testTarget + `"`,
		`status="TRADE_SUCCESS"`, `totalAmount=1000`, `buyerPayAmount=850`, `receiptAmount=950`, `invoiceAmount=860`,
		`couponAmount=100`, `couponMerchantContribute=40`, `couponOtherContribute=60`, `yxlmAmount=50`,
		`buyerCashPayAmt=840`, `refundAmount=0`, `payTime="2026-06-01 19:55:30"`, `settleDate="2026-06-02"`,
		`seqId="01234567890N"`, `refId="123456789012"`, `settleRefId="01234567891N"`, `targetSys="WXPay"`,
		`targetStatus="SUCCESS"`, `targetMid="1900000109"`, `buyerId="oUpF8u"`, `subBuyerId="oSub8u"`,
		`bankInfo="OTHERS"`, `cardAttr="BALANCE"`, `billFunds="现金:850"`, `billFundsDesc="现金支付8.50元。"`, `activityIds="A1"`,
	}
	has := func(key string) func(string) bool {
		return func(m string) bool { return strings.HasPrefix(m, key+"=") }
	}
	for _, c := range changes {
		key, _, _ := strings.Cut(c, "=")
		switch at := slices.IndexFunc(members, has(key)); {
		case c[0] == '+':
			members = append(members, c[1:])
		case c[0] == '-':
			members = slices.DeleteFunc(members, has(c[1:]))
		case at >= 0:
			members[at] = c
		default:
			members = append(members, c)
		}
	}
	for i, m := range members {
		key, value, _ := strings.Cut(m, "=")
		members[i] = strconv.Quote(key) + ":" + value
	}
	return "{" + strings.Join(members, ",") + "}"
}

// codeBody is the short body of an answer that is only a code.
func codeBody(code string) string {
	return fmt.Sprintf(`{"errCode":%q,"errMsg":"sorry","mid":%q,"merOrderId":%q}`, code, testMID, testMer)
}

// asker turns an HTTP status and a body into what the client makes of them.
type asker func(o order.Order, status int, body string) Reply

type canned struct {
	status int
	body   string
}

// newAsker serves any number of answers: each question finds its own by its tid.
func newAsker(t testing.TB) asker {
	t.Helper()
	var answers sync.Map
	var last atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct{ TID string }
		_ = json.NewDecoder(r.Body).Decode(&question)
		c, _ := answers.Load(question.TID)
		w.WriteHeader(c.(canned).status)
		_, _ = w.Write([]byte(c.(canned).body))
	}))
	t.Cleanup(server.Close)
	client, err := chinaums.New(chinaums.Options{
		BaseURL: server.URL, Path: "/query", Credentials: credentials(), Timeout: 30 * time.Second, Concurrency: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return func(o order.Order, status int, body string) Reply {
		question := Request(o)
		question.TID = strconv.FormatInt(10+last.Add(1), 10)
		answers.Store(question.TID, canned{status, body})
		a, err := client.Query(context.WithoutCancel(t.Context()), question)
		return Reply{Answer: a, Trouble: err}
	}
}

// outcomeLine is an outcome in one line, as the tables expect it. Five words, in this order:
//
//	deferred no_order UNKNOWN +15s -
//
//	decision   order.Decision: settled, deferred, not_found, no_answer, refused, review
//	reason     why; for a review it is also the review's reason
//	status     the order's status afterwards
//	next       the next question: +15s is fifteen seconds after now, never is no further question
//	event      the event that is written with it, such as order.paid; - is none
//
// Three things must never be, so no table expects them. AND BOOKED: amounts were taken although
// nothing is settled. AND REVIEW: a review's reason stands beside another decision or reason.
// WITHOUT A NOTE: a review tells the person nothing.
func outcomeLine(o order.Outcome) string {
	next, event := "never", "-"
	if o.NextQueryAt != nil {
		next = "+" + o.NextQueryAt.Sub(now).String()
	}
	if o.Event != "" {
		event = o.Event
	}
	line := fmt.Sprintf("%s %s %s %s %s", o.Decision, o.Reason, o.Status, next, event)
	if o.Decision != order.Settled && o.Booking != (order.Booking{}) {
		line += " AND BOOKED"
	}
	if o.ReviewReason != "" && (o.Decision != order.Review || o.ReviewReason != o.Reason) {
		line += " AND REVIEW " + o.ReviewReason
	}
	if o.Decision == order.Review && (o.ReviewReason == "" || o.ReviewNote == "") {
		line += " WITHOUT A NOTE"
	}
	return line
}

// decided is one row of the tables: what an answer makes of an order.
type decided struct {
	name   string
	order  order.Order
	status int // HTTP; 0 = 200
	body   string
	want   string // as outcomeLine has it
}

func checkDecided(t *testing.T, tests []decided) {
	t.Helper()
	ask := newAsker(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.status == 0 {
				tt.status = http.StatusOK
			}
			out := testRules().Decide(tt.order, ask(tt.order, tt.status, tt.body), now)
			if got := outcomeLine(out); got != tt.want {
				t.Errorf("got  %s\nwant %s\nbody %s", got, tt.want, tt.body)
			}
		})
	}
}
