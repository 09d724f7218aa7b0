package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"reconciler/internal/chinaums"
)

// timeline walks a script.
type timeline struct {
	steps []Step
	used  []int
	began []time.Time // zero = not yet
}

func newTimeline(steps []Step) *timeline {
	steps = slices.Clone(steps)
	return &timeline{steps: steps, used: make([]int, len(steps)), began: make([]time.Time, len(steps))}
}

// nextStep returns the step that answers a round trip, and whether there still is one. A step that
// leaves the round trip to chance lies over those after it: they are walked, and used up, only by
// the round trips that it lets through.
func (t *timeline) nextStep(now time.Time, draw func(i int) float64) (int, bool) {
	begin := now
	for i, step := range t.steps {
		if t.began[i].IsZero() {
			t.began[i] = begin
		}
		begin = now
		switch end := t.began[i].Add(step.For); {
		case step.Times > 0 && t.used[i] >= step.Times:
			continue
		case step.For > 0 && !now.Before(end):
			begin = end
			continue
		}
		t.used[i]++
		if step.Probability == 0 || draw(i) < step.Probability {
			return i, true
		}
	}
	return 0, false
}

// drawsFor returns the chance, from 0 to 1, of each step at one round trip. It depends on nothing
// but the seed, the order and its count, so that a run repeats however round trips of many orders
// interleave.
func (s *Simulator) drawsFor(timeline string, in *incoming) func(int) float64 {
	return func(i int) float64 {
		hash := sha256.Sum256(fmt.Appendf(nil, "%d|%s|%s|%d|%d", s.opts.Seed, timeline, in.countedAs(), in.count, i))
		const bits = 53 // of a float's mantissa
		return float64(binary.BigEndian.Uint64(hash[:])>>(64-bits)) / (1 << bits)
	}
}

type orderKey struct{ mid, number string }

// orderState is an order and how far its life has come.
type orderState struct {
	Order
	life     *timeline
	unpaidAt time.Time // latest answer that called it unpaid
	paidAt   time.Time // zero until an answer called it paid
}

func newOrderState(o Order) *orderState {
	o.Timeline = slices.Clone(o.Timeline) // the caller's may change
	state := &orderState{Order: o, life: newTimeline(o.Timeline)}
	if o.FromCreation {
		state.life.began[0] = o.CreatedAt
	}
	return state
}

func (o *orderState) targetKey() orderKey { return orderKey{o.MID, o.TargetOrderID} }

// unscriptedOrder is the order that a request asks for, when there is a timeline for those that
// nobody added.
func unscriptedOrder(in *incoming, steps []Step) Order {
	o := Order{
		MID:           in.query.MID,
		TID:           in.query.TID,
		InstMID:       in.query.InstMID,
		MerOrderID:    in.query.MerOrderID,
		TargetOrderID: in.query.TargetOrderID,
		Amount:        1,
		Timeline:      steps,
	}
	return o.withDefaults(in.now)
}

// facts are what a body about an order tells.
type facts struct {
	Order
	paid          bool
	total, refund int64
	payTime       time.Time
	closeTime     time.Time // zero unless it is closed
}

// replyAt lives through one round trip.
func (o *orderState) replyAt(now time.Time, draw func(int) float64) reply {
	i, ok := o.life.nextStep(now, draw)
	if !ok {
		i = len(o.Timeline) - 1
	}
	step := o.Timeline[i]
	return reply{Step: step, facts: o.factsAt(step, i, now)}
}

func (o *orderState) factsAt(step Step, i int, now time.Time) *facts {
	f := &facts{Order: o.Order, total: o.Amount, payTime: o.CreatedAt}
	if step.Amount != nil {
		f.total = *step.Amount
	}
	f.refund = o.refundedAmount(step, i, f.total)
	f.paid = isPaid(step.Status) || f.refund > 0
	if step.Status == chinaums.StatusTradeClosed {
		f.closeTime = earliestOf(o.CreatedAt.Add(expiry), now)
	}
	switch {
	case f.paid:
		f.payTime = o.payAt(now)
	case step.Status != "":
		o.unpaidAt = now
	}
	if step.PayTime != nil {
		f.payTime = step.PayTime.In(chinaums.China())
	}
	return f
}

// refundedAmount knows that only a full refund closes what was paid.
func (o *orderState) refundedAmount(step Step, i int, total int64) int64 {
	paidBefore := slices.ContainsFunc(o.Timeline[:i], func(s Step) bool { return isPaid(s.Status) })
	switch {
	case step.RefundAmount != nil:
		return *step.RefundAmount
	case step.Status == chinaums.StatusTradeRefund, step.Status == chinaums.StatusTradeClosed && paidBefore:
		return total
	}
	return 0
}

// payAt returns when the order was paid: some seconds after its creation, but neither in the future
// nor before an answer that still called it unpaid. Once told, it stays.
func (o *orderState) payAt(now time.Time) time.Time {
	if o.paidAt.IsZero() {
		soon := o.CreatedAt.Add(time.Duration(5+o.deriveHash("payTime")[0]%55) * time.Second)
		o.paidAt = earliestOf(soon, now)
		if o.unpaidAt.After(o.paidAt) {
			o.paidAt = o.unpaidAt
		}
	}
	return o.paidAt
}

func isPaid(s chinaums.Status) bool {
	return s == chinaums.StatusTradeSuccess || s == chinaums.StatusTradeRefund
}

func earliestOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
