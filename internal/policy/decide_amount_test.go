package policy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

func TestTotalAmount(t *testing.T) {
	t.Parallel()
	// The expectations are lines of outcomeLine (main_test.go): decision, reason, status, next
	// question, event.
	const (
		missing  = "review amount_missing UNKNOWN never order.review"
		mismatch = "review amount_mismatch UNKNOWN never order.review"
	)
	for _, tt := range []struct{ name, total, want string }{
		{"number", `totalAmount=1000`, isPaid},
		{"text", `totalAmount="1000"`, isPaid},
		{"decimal", `totalAmount=1000.0`, isPaid},
		{"decimal text", `totalAmount="1000.00"`, isPaid},
		{"exponent", `totalAmount=1e3`, isPaid},
		{"exponent text", `totalAmount="1E+3"`, isPaid},
		{"negative exponent", `totalAmount=100000e-2`, isPaid},
		{"twice, the same", `+totalAmount=1000`, isPaid},
		{"twice, the same in two forms", `+totalAmount="1e3"`, isPaid},

		{"missing", `-totalAmount`, missing},
		{"null", `totalAmount=null`, missing},
		{"empty", `totalAmount=""`, missing},
		{"blank", `totalAmount=" "`, missing},
		{"with a space", `totalAmount="1000 "`, missing},
		{"negative", `totalAmount=-1000`, missing},
		{"fraction", `totalAmount=1000.5`, missing},
		{"fraction text", `totalAmount="10.00元"`, missing},
		{"tiny fraction", `totalAmount=1000.0000000000000000001`, missing},
		{"thousands", `totalAmount="1,000"`, missing},
		{"beyond int64", `totalAmount=9223372036854775808`, missing},
		{"far beyond int64", `totalAmount=1e400`, missing},
		{"around the clock to 1000", `totalAmount=18446744073709552616`, missing},
		{"word", `totalAmount="all"`, missing},
		{"hexadecimal", `totalAmount="0x3e8"`, missing},
		{"boolean", `totalAmount=true`, missing},
		{"object", `totalAmount={"fen":1000}`, missing},
		{"list", `totalAmount=[1000]`, missing},
		{"twice, different, right one last", `totalAmount=1;+totalAmount=1000`, missing},
		{"twice, different, right one first", `+totalAmount=1`, missing},
		{"twice, one empty", `+totalAmount=""`, missing},
		{"twice, one unreadable", `+totalAmount=true`, missing},
		{"in another case of its key", `-totalAmount;totalamount=1000`, missing},

		{"one fen less", `totalAmount=999`, mismatch},
		{"one fen more", `totalAmount=1001`, mismatch},
		{"nothing", `totalAmount=0`, mismatch},
		{"yuan for fen", `totalAmount=10`, mismatch},
		{"fen twice over", `totalAmount=100000`, mismatch},
		{"the greatest", `totalAmount=9223372036854775807`, mismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			changes := strings.Split(tt.total, ";")
			refunded := strings.NewReplacer("trade_success", "trade_refund", "TRADE_SUCCESS", "TRADE_REFUND", "order.paid", "order.refunded")
			checkDecided(t, []decided{
				{"paid", anOrder(), 0, answer(changes...), tt.want},
				{"refunded", anOrder(), 0, answer(append(changes, `status="TRADE_REFUND"`, `refundAmount=1000`)...), refunded.Replace(tt.want)},
				// A closed order is closed whatever its total; only money needs it.
				{"closed", anOrder(), 0, answer(append(changes, `status="TRADE_CLOSED"`)...), "settled trade_closed TRADE_CLOSED never order.closed"},
			})
		})
	}
}

// What the payer paid, or the shop receives, is not the total: discounts lie between.
func TestOnlyTheTotalIsCompared(t *testing.T) {
	t.Parallel()
	checkDecided(t, []decided{
		{"paid less by coupon", anOrder(), 0, answer(`buyerPayAmount=1`, `couponAmount=999`), isPaid},
		{"paid nothing", anOrder(), 0, answer(`buyerPayAmount=0`, `receiptAmount=0`), isPaid},
		{"parts do not add up", anOrder(), 0, answer(`buyerPayAmount=5000`), isPaid},
		{"the paid amount is right, the total not", anOrder(), 0, answer(`totalAmount=1100`, `buyerPayAmount=1000`), "review amount_mismatch UNKNOWN never order.review"},
	})
}

func TestAmountNote(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	for _, tt := range []struct {
		body  string
		wants []string
		not   string
	}{
		{answer(`totalAmount=900`), []string{"1000", "900", "-100", "buyer paid 850", "coupon 100", "merchant 40", "others 60", "alliance discount 50", "received 950"}, "(none)"},
		{answer(`totalAmount=1100`, `-buyerPayAmount`, `couponAmount="x"`), []string{"+100", "alliance discount 50"}, "coupon 0"},
		{answer(`-totalAmount`), []string{"TRADE_SUCCESS", "missing", "buyer paid 850"}, "(none)"},
		{answer(`totalAmount=1.5`), []string{"cannot be read"}, "missing"},
		{answer(`+totalAmount=1`), []string{"cannot be read", "twice"}, "missing"},
	} {
		o := anOrder()
		out := testRules().Decide(o, ask(o, http.StatusOK, tt.body), now)
		for _, want := range tt.wants {
			if !strings.Contains(out.ReviewNote, want) {
				t.Errorf("note %q lacks %q", out.ReviewNote, want)
			}
		}
		if strings.Contains(out.ReviewNote, tt.not) {
			t.Errorf("note %q has %q", out.ReviewNote, tt.not)
		}
	}
}

// references is what answer gives beside money.
func references() order.Booking {
	return order.Booking{
		TargetOrderID: new(testTarget),
		SeqID:         new("01234567890N"), RefID: new("123456789012"), SettleRefID: new("01234567891N"), TargetSys: new("WXPay"),
		TargetStatus: new("SUCCESS"), TargetMID: new("1900000109"), BuyerID: new("oUpF8u"), SubBuyerID: new("oSub8u"),
		BankInfo: new("OTHERS"), CardAttr: new("BALANCE"), BillFunds: new("现金:850"), BillFundsDesc: new("现金支付8.50元。"), ActivityIDs: new("A1"),
	}
}

func everything() order.Booking {
	s := references()
	s.TotalAmount, s.BuyerPayAmount, s.ReceiptAmount, s.InvoiceAmount = new(int64(1000)), new(int64(850)), new(int64(950)), new(int64(860))
	s.CouponAmount, s.CouponMerchantContribute, s.CouponOtherContribute = new(int64(100)), new(int64(40)), new(int64(60))
	s.YxlmAmount, s.BuyerCashPayAmt, s.RefundAmount = new(int64(50)), new(int64(840)), new(int64(0))
	s.PayTime = new(time.Date(2026, 6, 1, 19, 55, 30, 0, chinaums.China())) // China time: 11:55:30 UTC
	s.SettleDate = new(time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC))
	return s
}

func TestBooked(t *testing.T) {
	t.Parallel()
	with := func(change func(*order.Booking)) order.Booking {
		s := everything()
		change(&s)
		return s
	}
	closedMoney := with(func(s *order.Booking) { s.RefundAmount = new(int64(1000)) })
	const closed = `status="TRADE_CLOSED"`
	anything := []string{""} // whether a closed order's unreadable refund is to be told is open
	for _, tt := range []struct {
		name  string
		order order.Order
		body  string
		want  order.Booking
		says  []string // in last_error; none: it is empty
	}{
		{"paid", anOrder(), answer(), everything(), nil},
		{"refunded in part", anOrder(), answer(`status="TRADE_REFUND"`, `refundAmount=1`), with(func(s *order.Booking) { s.RefundAmount = new(int64(1)) }), nil},
		{"only the total", anOrder(), `{"errCode":"SUCCESS","status":"TRADE_SUCCESS","mid":"` + testMID + `","merOrderId":"` + testMer + `","totalAmount":"1000"}`, order.Booking{TotalAmount: new(int64(1000))}, nil},

		{"number lacked: merchant's", anOrder(withNumbers("", testTarget)), answer(), with(func(s *order.Booking) { s.MerOrderID, s.TargetOrderID = new(testMer), nil }), nil},
		{"number lacked: none", anOrder(withNumbers(testMer, testTarget)), answer(), with(func(s *order.Booking) { s.TargetOrderID = nil }), nil},
		{"number lacked: not answered", anOrder(), answer("-targetOrderId"), with(func(s *order.Booking) { s.TargetOrderID = nil }), nil},
		{"number lacked: not readable", anOrder(), answer("targetOrderId={}"), with(func(s *order.Booking) { s.TargetOrderID = nil }), []string{"targetOrderId"}},
		{"number lacked: written for a closed order too", anOrder(), answer(closed), references(), nil},

		{"a discount cannot be read", anOrder(), answer(`couponAmount="five"`), with(func(s *order.Booking) { s.CouponAmount = nil }), []string{"couponAmount", "fen"}},
		{"a discount is negative", anOrder(), answer(`yxlmAmount=-1`), with(func(s *order.Booking) { s.YxlmAmount = nil }), []string{"yxlmAmount"}},
		{"a discount is given twice", anOrder(), answer(`+couponAmount=1`), with(func(s *order.Booking) { s.CouponAmount = nil }), []string{"couponAmount", "twice"}},
		{"the time is no time", anOrder(), answer(`payTime="yesterday"`), with(func(s *order.Booking) { s.PayTime = nil }), []string{"payTime"}},
		{"the time is another layout", anOrder(), answer(`payTime="20260601195530"`), with(func(s *order.Booking) { s.PayTime = nil }), []string{"payTime"}},
		{"the time has no such day", anOrder(), answer(`payTime="2026-02-30 10:00:00"`), with(func(s *order.Booking) { s.PayTime = nil }), []string{"payTime"}},
		{"the time is long before the order", anOrder(), answer(`payTime="2026-05-30 19:55:30"`), with(func(s *order.Booking) { s.PayTime = new(s.PayTime.AddDate(0, 0, -2)) }), []string{"payTime", "before"}},
		{"the time is to come", anOrder(), answer(`payTime="2026-06-02 19:55:30"`), with(func(s *order.Booking) { s.PayTime = new(s.PayTime.AddDate(0, 0, 1)) }), []string{"payTime", "future"}},
		{"more refunded than paid", anOrder(), answer(`status="TRADE_REFUND"`, `refundAmount=1001`), with(func(s *order.Booking) { s.RefundAmount = nil }), []string{"refundAmount", "greater"}},
		{"the date is no date", anOrder(), answer(`settleDate="0000-00-00"`), with(func(s *order.Booking) { s.SettleDate = nil }), []string{"settleDate"}},
		{"several", anOrder(), answer(`payTime=1`, `settleDate="x"`, `receiptAmount=[]`), with(func(s *order.Booking) { s.PayTime, s.SettleDate, s.ReceiptAmount = nil, nil, nil }), []string{"payTime", "settleDate", "receiptAmount"}},
		{"empty is not unreadable", anOrder(), answer(`payTime=""`, `couponAmount=null`), with(func(s *order.Booking) { s.PayTime, s.CouponAmount = nil, nil }), nil},
		{"a reference cannot be read", anOrder(), answer(`seqId=[]`), with(func(s *order.Booking) { s.SeqID = nil }), []string{"seqId"}},
		{"everything but the total", anOrder(), answer(`buyerPayAmount=true`, `receiptAmount=true`, `invoiceAmount=true`, `couponAmount=true`, `yxlmAmount=true`, `couponMerchantContribute=true`, `couponOtherContribute=true`, `buyerCashPayAmt=true`, `refundAmount=true`), with(func(s *order.Booking) {
			total := s.TotalAmount
			refs := references()
			refs.TotalAmount, refs.PayTime, refs.SettleDate = total, s.PayTime, s.SettleDate
			*s = refs
		}), []string{"buyerPayAmount", "receiptAmount", "invoiceAmount", "couponAmount", "yxlmAmount", "couponMerchantContribute", "couponOtherContribute", "buyerCashPayAmt", "refundAmount"}},

		// payTime, settleDate and amounts stand on unpaid orders too: a closed order's
		// are booked only where a refund of the right total proves that there was money.
		{"closed, no refund", anOrder(), answer(closed), references(), nil},
		{"closed, refund missing", anOrder(), answer(closed, `-refundAmount`), references(), nil},
		{"closed, refund null", anOrder(), answer(closed, `refundAmount=null`), references(), nil},
		{"closed, refund negative", anOrder(), answer(closed, `refundAmount=-1000`), references(), anything},
		{"closed, refund twice", anOrder(), answer(closed, `refundAmount=1000`, `+refundAmount=0`), references(), anything},
		{"closed, refunded", anOrder(), answer(closed, `refundAmount=1000`), closedMoney, nil},
		{"closed, refunded in part", anOrder(), answer(closed, `refundAmount="1"`), with(func(s *order.Booking) { s.RefundAmount = new(int64(1)) }), nil},
		{"closed, refunded, wrong total", anOrder(), answer(closed, `refundAmount=1000`, `totalAmount=999`), references(), []string{"refundAmount"}},
		{"closed, refunded, no total", anOrder(), answer(closed, `refundAmount=1000`, `-totalAmount`), references(), []string{"refundAmount"}},
		{"closed, refunded, two totals", anOrder(), answer(closed, `refundAmount=1000`, `+totalAmount=999`), references(), []string{"refundAmount"}},
		{"closed, refunded, bad time", anOrder(), answer(closed, `refundAmount=1000`, `payTime="x"`), func() order.Booking { s := closedMoney; s.PayTime = nil; return s }(), []string{"payTime"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := testRules().Decide(tt.order, newAsker(t)(tt.order, http.StatusOK, tt.body), now)
			if out.Decision != order.Settled || out.NextQueryAt != nil || out.ReviewReason != "" {
				t.Fatalf("got %s, want settled", outcomeLine(out))
			}
			if diff := cmp.Diff(tt.want, out.Booking); diff != "" {
				t.Errorf("booked (-want +got):\n%s", diff)
			}
			for _, want := range tt.says {
				if !strings.Contains(out.LastError, want) {
					t.Errorf("last error %q lacks %q", out.LastError, want)
				}
			}
			if len(tt.says) == 0 && out.LastError != "" {
				t.Errorf("last error %q, want none", out.LastError)
			}
		})
	}
}
