package store_test

import (
	"fmt"
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// BenchmarkQueue claims and records groups as a drain does, all of them paid, and
// tells what an order costs in each.
func BenchmarkQueue(b *testing.B) {
	const orders = 20_000
	for _, group := range []int{32, 128, 512} {
		b.Run(fmt.Sprint(group), func(b *testing.B) {
			var claiming, recording time.Duration
			for b.Loop() {
				b.StopTimer()
				d := open(b)
				d.insert(b, orders)
				d.exec(b, "ANALYZE orders")
				b.StartTimer()
				claimed, recorded := drain(b, d, group)
				claiming, recording = claiming+claimed, recording+recorded
			}
			each := float64(orders * b.N)
			b.ReportMetric(float64(claiming.Microseconds())/each, "claim-µs/order")
			b.ReportMetric(float64(recording.Microseconds())/each, "record-µs/order")
		})
	}
}

// drain empties the queue in groups of a size, and returns how long claims and records took.
func drain(b *testing.B, d database, size int) (claiming, recording time.Duration) {
	b.Helper()
	claim := store.Claim{Worker: "host/12345/abcdef", Lease: time.Minute, Limit: size, Lanes: true}
	for {
		began := time.Now()
		page, err := d.Claim(b.Context(), claim)
		if err != nil {
			b.Fatal(err)
		}
		orders := page.Orders
		claiming += time.Since(began)
		if len(orders) == 0 {
			return claiming, recording
		}
		claim.From = store.At(orders[0])
		group := make([]order.Outcome, len(orders))
		for i, o := range orders {
			group[i] = paid(o)
		}
		began = time.Now()
		if _, err := d.Record(b.Context(), group); err != nil {
			b.Fatal(err)
		}
		recording += time.Since(began)
	}
}

// paid is a settlement as long as the gateway's answers are.
func paid(o order.Order) order.Outcome {
	out := settled(o)
	out.Question.Response = []byte(`{"activityIds":"","bankCardNo":"****","bankInfo":"OTHERS","billFunds":"现金:100","billFundsDesc":"现金支付1.00元。",` +
		`"buyerId":"otdJ_uMOXIl1fAuOHBxbDFUTTXNQ","buyerPayAmount":100,"cardAttr":"BALANCE","connectSys":"UNIONPAY","couponAmount":0,` +
		`"delegatedFlag":"N","errCode":"SUCCESS","invoiceAmount":100,"instMid":"MINIDEFAULT","merName":"测试商户","merOrderId":"319400000001",` +
		`"mid":"898340149000005","payTime":"2026-11-23 18:24:05","qrCodeId":"","receiptAmount":100,"refId":"31694587492N","seqId":"31694587492N",` +
		`"settleDate":"2026-11-23","settleRefId":"31694587492N","srcReserve":"","status":"TRADE_SUCCESS","subBuyerId":"oV5xPvy9rgiQ1qZJf3CgL0nQ",` +
		`"targetMid":"400012345678","targetOrderId":"4200001234202611231234567890","targetStatus":"SUCCESS|SUCCESS","targetSys":"WXPay",` +
		`"tid":"88880001","totalAmount":100,"yxlmAmount":0,"msgId":"","responseTimestamp":"2026-11-23 18:24:31","sign":"C3A1B0D2E4F5A6978812"}`)
	out.Booking = order.Booking{
		TargetOrderID: new("4200001234202611231234567890"),
		TotalAmount:   new(int64(100)), BuyerPayAmount: new(int64(100)), ReceiptAmount: new(int64(100)), InvoiceAmount: new(int64(100)),
		CouponAmount: new(int64(0)), YxlmAmount: new(int64(0)),
		PayTime: new(o.ClaimedAt), SettleDate: new(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)),
		SeqID: new("31694587492N"), RefID: new("31694587492N"), SettleRefID: new("31694587492N"), TargetSys: new("WXPay"),
		TargetStatus: new("SUCCESS|SUCCESS"), TargetMID: new("400012345678"), BuyerID: new("otdJ_uMOXIl1fAuOHBxbDFUTTXNQ"),
		SubBuyerID: new("oV5xPvy9rgiQ1qZJf3CgL0nQ"), BankInfo: new("OTHERS"), CardAttr: new("BALANCE"),
		BillFunds: new("现金:100"), BillFundsDesc: new("现金支付1.00元。"),
	}
	return out
}
