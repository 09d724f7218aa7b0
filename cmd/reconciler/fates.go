package main

import (
	"fmt"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
	"reconciler/internal/store"
)

const (
	demoMID = "898340149000005" // the merchant and terminal of the vendor's page
	demoTID = "88880001"
)

// fate is the script of some orders of the demo, and the end that they must have.
type fate struct {
	name     string
	orders   int
	age      time.Duration // how long ago the payment was started
	timeline []simulator.Step
	status   order.Status
	review   string // "": none
}

// allFates add up to 300 orders.
func allFates() []fate {
	const recent, earlier, lastWeek = 10 * time.Minute, 3 * time.Hour, 8 * 24 * time.Hour
	status := func(s chinaums.Status) simulator.Step { return simulator.Step{Status: s} }
	times := func(n int, s simulator.Step) simulator.Step { s.Times = n; return s }
	paid := status(chinaums.StatusTradeSuccess)
	less := int64(1)
	return []fate{
		{"paid, only the notification was lost", 60, recent, []simulator.Step{paid}, order.StatusTradeSuccess, ""},
		{"paid while we ask", 40, recent, []simulator.Step{
			times(1, status(chinaums.StatusNewOrder)), times(1, status(chinaums.StatusWaitBuyerPay)), paid,
		}, order.StatusTradeSuccess, ""},
		{"paid, the first question times out", 20, recent, []simulator.Step{
			times(1, simulator.Step{Fault: simulator.FaultHang}), paid,
		}, order.StatusTradeSuccess, ""},
		{"paid, the gateway is flapping (9200)", 40, recent, []simulator.Step{
			times(2, simulator.Step{Code: "9200"}), paid,
		}, order.StatusTradeSuccess, ""},
		{"paid, error pages come first", 15, recent, []simulator.Step{
			times(1, simulator.Step{Fault: simulator.FaultHTML502}), times(1, simulator.Step{Fault: simulator.FaultTruncated}), paid,
		}, order.StatusTradeSuccess, ""},
		{"paid, amounts come as text, twice", 10, recent, []simulator.Step{
			{Status: chinaums.StatusTradeSuccess, Mutations: []simulator.Mutation{
				simulator.MutationTotalDecimalText, simulator.MutationTotalTwice, simulator.MutationPartsText, simulator.MutationPersonalData,
			}},
		}, order.StatusTradeSuccess, ""},
		{"closed, never paid", 30, earlier, []simulator.Step{status(chinaums.StatusTradeClosed)}, order.StatusTradeClosed, ""},
		{"paid and refunded", 20, earlier, []simulator.Step{status(chinaums.StatusTradeRefund)}, order.StatusTradeRefund, ""},
		{"never opened by the payer", 30, earlier, nil, order.StatusNotFound, ""},
		{"another amount than asked for", 15, recent, []simulator.Step{
			{Status: chinaums.StatusTradeSuccess, Amount: &less},
		}, order.StatusUnknown, "amount_mismatch"},
		{"the answer is about another order", 10, recent, []simulator.Step{
			{Status: chinaums.StatusTradeSuccess, Mutations: []simulator.Mutation{simulator.MutationOtherOrder}},
		}, order.StatusUnknown, "identity_mismatch"},
		{"undecided for more than a week", 10, lastWeek, []simulator.Step{
			status(chinaums.StatusWaitBuyerPay),
		}, order.StatusWaitBuyerPay, "query_window_over"},
	}
}

// script makes the gateway's and the application's side of all fates.
type script struct {
	gateway []simulator.Order
	orders  []store.NewOrder
	fates   []fate
	fateOf  map[string]int // by order number
}

func newScript(now time.Time) script {
	s := script{fates: allFates(), fateOf: make(map[string]int)}
	for i, f := range s.fates {
		for n := range f.orders {
			number := fmt.Sprintf("3194%s%02d%05d", now.Format("20060102150405"), i, n)
			amount := int64(100 + 10*len(s.orders))
			created := now.Add(-f.age)
			s.fateOf[number] = i
			s.gateway = append(s.gateway, simulator.Order{
				MID: demoMID, TID: demoTID, MerOrderID: number, Amount: amount, CreatedAt: created, Timeline: f.timeline,
			})
			s.orders = append(s.orders, store.NewOrder{
				MID: demoMID, TID: demoTID, MerOrderID: number, OrderAmount: amount,
				CreatedAt: created, ExpiresAt: created.Add(30 * time.Minute),
			})
		}
	}
	return s
}

// hasCome reports whether an order has ended as its fate has it.
func (f fate) hasCome(s store.State) bool { return s.Status == f.status && s.ReviewReason == f.review }

// countRight counts, fate by fate, the orders that have ended as scripted.
func (s script) countRight(states []store.State) (right []int, total int) {
	right = make([]int, len(s.fates))
	for _, state := range states {
		if i, known := s.fateOf[state.MerOrderID]; known && s.fates[i].hasCome(state) {
			right[i]++
			total++
		}
	}
	return right, total
}

// endInWords is how a fate's end is shown.
func (f fate) endInWords() string {
	if f.review != "" {
		return "review: " + f.review
	}
	return string(f.status)
}
