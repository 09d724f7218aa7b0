package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// genOrder draws an order of any age, state and history that the claim may hand out.
func genOrder(t *rapid.T) order.Order {
	minutes := rapid.IntRange(0, 400*60).Draw(t, "age in minutes")
	o := anOrder(withAge(time.Duration(minutes) * time.Minute))
	o.ID = rapid.Int64Min(1).Draw(t, "id")
	o.QueryCount = rapid.IntRange(0, 40).Draw(t, "count")
	o.Status = rapid.SampledFrom([]order.Status{
		order.StatusUnknown, order.StatusNewOrder, order.StatusWaitBuyerPay, order.StatusNotFound,
	}).Draw(t, "status")
	held := rapid.SampledFrom([][2]string{{testMer, ""}, {"", testTarget}, {testMer, testTarget}}).Draw(t, "numbers")
	o.MerOrderID, o.TargetOrderID = held[0], held[1]
	o.ExpiresAt = o.CreatedAt.Add(time.Duration(rapid.IntRange(1, 24*60).Draw(t, "life in minutes")) * time.Minute)
	if rapid.Bool().Draw(t, "under review") {
		underReview(rapid.SampledFrom([]string{
			order.ReviewAmountMismatch, order.ReviewAmountMissing, order.ReviewIdentityMismatch, order.ReviewBadRequest, order.ReviewNotFoundUnconfirmed, order.ReviewWindowOver, order.ReviewUnwritable,
		}).Draw(t, "review"))(&o)
	}
	return o
}

// genBody draws an answer that is right in most of its parts.
func genBody(t *rapid.T) string {
	var changes []string
	choose := func(label string, options ...string) {
		if c := rapid.SampledFrom(options).Draw(t, label); c != "" {
			changes = append(changes, c)
		}
	}
	choose("code", "", "", "", `errCode="NO_ORDER"`, `errCode="9200"`, `errCode="1000"`, `errCode="NO_MERCHANT"`, `errCode="BAD_REQUEST"`,
		`errCode="ORDER_PROCESSING"`, `errCode="TARGET_FAIL"`, `-errCode`, `+errCode="9200"`)
	choose("status", "", "", "", `status="TRADE_REFUND"`, `status="TRADE_CLOSED"`, `status="NEW_ORDER"`, `status="WAIT_BUYER_PAY"`, `status="UNKNOWN"`,
		`status="SUCCESS"`, `status=""`, `-status`, `status=1`, `+status="TRADE_CLOSED"`)
	choose("mid", "", "", "", `-mid`, `mid="`+otherMID+`"`, `mid=null`)
	choose("merchant's number", "", "", `-merOrderId`, `merOrderId="319400000000"`, `merOrderId={}`)
	choose("channel's number", "", "", `-targetOrderId`, `targetOrderId="420000000000"`)
	choose("total", "", "", "", `totalAmount="1000.0"`, `totalAmount=999`, `-totalAmount`, `totalAmount=-1`, `+totalAmount=1`, `totalAmount=1e99`)
	choose("refund", "", `refundAmount=1000`, `refundAmount="x"`)
	choose("time", "", `payTime="x"`)
	return answer(changes...)
}

func genHTTP(t *rapid.T) int {
	return rapid.SampledFrom([]int{200, 200, 200, 201, 404, 412, 429, 500, 503}).Draw(t, "http")
}

func genEvidence(t *rapid.T) *order.Evidence {
	if rapid.Bool().Draw(t, "ledger unreadable") {
		return nil
	}
	return evidence(rapid.IntRange(0, 4).Draw(t, "NO_ORDER before"), rapid.Bool().Draw(t, "merchant found"))
}

func jitteredRules() Rules { return Rules{Plan: jitteredPlan()} }

func jitteredPlan() Plan {
	p := testPlan()
	p.Jitter = 0.1
	return p
}

// A settlement rests on HTTP 200, SUCCESS, a final status, the right order and, if it
// says paid, the right amount. The check reads the answer itself, not decide's helpers.
func TestPropertySettled(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	rapid.Check(t, func(t *rapid.T) {
		o := genOrder(t)
		r := ask(o, genHTTP(t), genBody(t))
		r.Evidence = genEvidence(t)
		out := jitteredRules().Decide(o, r, now)
		a := r.Answer
		if out.Decision != order.Settled {
			if out.Booking != (order.Booking{}) || out.Status.Settled() {
				t.Fatalf("not settled, but %s", outcomeLine(out))
			}
			return
		}
		numbers := map[string]chinaums.Field[string]{}
		if o.MerOrderID != "" {
			numbers[o.MerOrderID] = a.Trade.MerOrderID
		}
		if o.TargetOrderID != "" {
			numbers[o.TargetOrderID] = a.Trade.TargetOrderID
		}
		equal := 0
		for held, answered := range numbers {
			if answered.Value == held {
				equal++
			} else if answered.Present {
				t.Fatalf("settled by an answer about %q, not %q", answered.Value, held)
			}
		}
		switch {
		case r.Trouble != nil || a.HTTPStatus != 200 || a.Code != "SUCCESS":
			t.Fatalf("settled by HTTP %d, %q, %v", a.HTTPStatus, a.Code, r.Trouble)
		case a.Trade.MID.Value != o.MID || equal == 0:
			t.Fatalf("settled by an answer about merchant %q with %d numbers equal", a.Trade.MID.Value, equal)
		case string(out.Status) != string(a.Trade.Status.Value) || !out.Status.Settled():
			t.Fatalf("settled as %s by %s", out.Status, a.Trade.Status.Value)
		case out.Status.Paid() && (a.Trade.TotalAmount.Err != nil || a.Trade.TotalAmount.Value != o.OrderAmount):
			t.Fatalf("settled with %d of %d", a.Trade.TotalAmount.Value, o.OrderAmount)
		case out.NextQueryAt != nil || out.ReviewReason != "" || out.Event == "":
			t.Fatalf("settled, but %s", outcomeLine(out))
		}
	})
}

// No trouble, whatever it is and whatever came with it, settles or books anything.
func TestPropertyTroubleNeverSettles(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	paid := ask(anOrder(), 200, answer())
	if paid.Trouble != nil {
		t.Fatal(paid.Trouble)
	}
	rapid.Check(t, func(t *rapid.T) {
		o := genOrder(t)
		trouble := rapid.OneOf(
			rapid.Custom(func(t *rapid.T) error {
				return &chinaums.Error{
					Class: chinaums.Class(rapid.OneOf(rapid.SampledFrom([]string{
						"", "no_order", "processing", "bad_request", "credentials", "merchant", "transient", "unknown_code", "no_code",
					}), rapid.String()).Draw(t, "class")),
					HTTPStatus: rapid.SampledFrom([]int{0, 200, 404}).Draw(t, "http"),
					Code:       rapid.SampledFrom([]string{"", "SUCCESS", "TRADE_SUCCESS"}).Draw(t, "code"),
				}
			}),
			rapid.SampledFrom([]error{io.EOF, context.Canceled, context.DeadlineExceeded, errors.New("SUCCESS"), fmt.Errorf("%w", io.ErrUnexpectedEOF)}),
		).Draw(t, "trouble")
		out := jitteredRules().Decide(o, Reply{Answer: paid.Answer, Trouble: trouble, Evidence: genEvidence(t)}, now)
		if out.Decision == order.Settled || out.Status.Settled() || out.Booking != (order.Booking{}) {
			t.Fatalf("%v: %s", trouble, outcomeLine(out))
		}
	})
}

// Never silent: an order that stays unresolved has a due time or a review reason, and
// never both.
func TestPropertyNeverSilent(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	rapid.Check(t, func(t *rapid.T) {
		o := genOrder(t)
		r := ask(o, genHTTP(t), genBody(t))
		r.Evidence = genEvidence(t)
		out := jitteredRules().Decide(o, r, now)
		review := o.ReviewReason
		if out.ReviewReason != "" || out.Decision == order.Settled || out.Decision == order.NotFound {
			review = out.ReviewReason
		}
		unresolved := !out.Status.Settled() && out.Status != order.StatusNotFound
		switch {
		case review != "" && out.NextQueryAt != nil:
			t.Fatalf("under review as %s and due: %s", review, outcomeLine(out))
		case unresolved && review == "" && (out.NextQueryAt == nil || !out.NextQueryAt.After(now)):
			t.Fatalf("unresolved, no review, no time to come: %s", outcomeLine(out))
		case out.Decision == "" || out.Reason == "":
			t.Fatalf("nothing for the ledger: %s", outcomeLine(out))
		case out.NextQueryAt != nil && out.NextQueryAt.Sub(now) > 27*time.Hour:
			t.Fatalf("put off beyond a day and its jitter: %s", outcomeLine(out))
		}
	})
}

// A life, whatever the gateway says one time after the other. No transition is told twice, and a
// settled order is asked no more. No NOT_FOUND order is lost sight of before its late check.
func TestPropertyLife(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	rapid.Check(t, func(t *rapid.T) {
		o, at := genOrder(t), now
		o.ReviewReason, o.Status = "", order.StatusUnknown
		for range rapid.IntRange(1, 12).Draw(t, "questions") {
			o.NextQueryAt = new(at)
			r := ask(o, genHTTP(t), genBody(t))
			r.Evidence = genEvidence(t)
			out := jitteredRules().Decide(o, r, at)
			same := out.Status == o.Status && (out.ReviewReason == "" || out.ReviewReason == o.ReviewReason)
			if same && out.Event != "" {
				t.Fatalf("told of nothing new: %s, before %s under %q", outcomeLine(out), o.Status, o.ReviewReason)
			}
			if out.Decision == order.Settled {
				return
			}
			if o.Status != order.StatusNotFound && out.Status == order.StatusNotFound && (out.NextQueryAt == nil || out.Event != order.EventNotFound) {
				t.Fatalf("no late check: %s", outcomeLine(out))
			}
			if out.Decision == order.NotFound || out.ReviewReason != "" {
				o.ReviewReason = out.ReviewReason
			}
			o.Status = out.Status
			if out.Decision == order.Deferred {
				o.QueryCount++
			}
			at = at.Add(time.Minute) // by hand, where it has no time of its own
			if out.NextQueryAt != nil {
				at = *out.NextQueryAt
			}
		}
	})
}
