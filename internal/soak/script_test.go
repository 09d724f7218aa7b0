package soak_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/order"
)

// script is an order: what its row holds, what the gateway says of it one time
// after the other, and what that may lead to.
type script struct {
	number           string // the order's, in both of the next two
	mid, mer, target string // as the gateway knows it
	amount           int64
	holdsMer         bool // the row holds the merchant's number
	holdsTarget      bool // and the channel's
	steps            []act
}

// act is a step of the gateway's with what an answer by it deserves: a status, a
// review, or neither. Both are given where either is right.
type act struct {
	simulator.Step

	status order.Status // "": settles nothing
	review string       // "": no review
	word   word
}

// word is what else an act says.
type word int

const (
	silent  word = iota // nothing that anybody could act on
	waiting             // unresolved, under any name: too old an order goes to a person
	noOrder             // NO_ORDER
)

// truth is the last act, which lasts for ever.
func (s *script) truth() act { return s.steps[len(s.steps)-1] }

// endless reports whether only age ends the order.
func (s *script) endless() bool { return s.truth().word != silent }

// isProcessing reports whether the gateway says ORDER_PROCESSING for ever.
func (s *script) isProcessing() bool { return s.truth().Code == "ORDER_PROCESSING" }

// numberOf is the order's number in one of the merchant's or the channel's, right
// or corrected wrongly.
func numberOf(key string) string { return key[4:12] }

// numbers are those that the row holds.
func (s *script) numbers() (mer, target *string) {
	if s.holdsMer {
		mer = &s.mer
	}
	if s.holdsTarget {
		target = &s.target
	}
	return mer, target
}

func (s *script) atGateway() simulator.Order {
	o := simulator.Order{MID: s.mid, MerOrderID: s.mer, TargetOrderID: s.target, Amount: s.amount, Age: 10 * time.Minute}
	for _, a := range s.steps {
		o.Timeline = append(o.Timeline, a.Step)
	}
	return o
}

func merchants() []string { return []string{"898340149000005", "898340149000006", "898340149000007"} }

// newScript draws the nth order of a world.
func newScript(r *rand.Rand, n int) *script {
	s := &script{
		number: fmt.Sprintf("%08d", n), mid: pick(r, merchants()...), mer: fmt.Sprintf("3194%08d", n), target: fmt.Sprintf("4200%08d", n),
		amount: 1 + r.Int64N(100_000),
	}
	switch r.IntN(6) {
	case 0:
		s.holdsTarget = true
	case 1:
		s.holdsMer, s.holdsTarget = true, true
	default:
		s.holdsMer = true
	}
	for range r.IntN(5) {
		a := s.noise(r)
		a.Times = 1 + r.IntN(2)
		s.steps = append(s.steps, a)
	}
	if r.IntN(6) == 0 { // it was settled as something else first
		a := s.settling(r)
		a.Times = 1 + r.IntN(2)
		s.steps = append(s.steps, a)
	}
	s.steps = append(s.steps, s.ending(r))
	if r.IntN(15) == 0 { // half of all answers are lost, whatever they are
		lost := s.trouble(r)
		lost.Times, lost.Probability = 4, 0.5
		s.steps = append([]act{lost}, s.steps...)
	}
	if !s.holdsMer {
		s.unproved()
	}
	return s
}

// unproved: of an order that nobody has paid the gateway gives the merchant's
// number alone. Where the row holds only the channel's, nothing shows that such
// an answer is about it: it settles nothing, and an unresolved one changes nothing.
func (s *script) unproved() {
	for i := range s.steps {
		a := &s.steps[i]
		paid := a.Status == chinaums.StatusTradeSuccess || a.Status == chinaums.StatusTradeRefund || a.RefundAmount != nil
		switch {
		case a.Status == "" || paid || a.review != "":
		case a.Status == chinaums.StatusTradeClosed:
			a.review = "identity_mismatch"
		default:
			a.word = waiting
		}
	}
}

func (s *script) ending(r *rand.Rand) act {
	switch n := r.IntN(20); {
	case n < 13:
		return s.settling(r)
	case n < 16:
		return s.wrong(r)
	case n < 18:
		return act{Step: simulator.Step{Code: "NO_ORDER"}, word: noOrder}
	default:
		return s.unresolved(r)
	}
}

// noise is what comes before the truth.
func (s *script) noise(r *rand.Rand) act {
	switch n := r.IntN(40); {
	case n < 16:
		return s.unresolved(r)
	case n < 22:
		return act{Step: simulator.Step{Code: "NO_ORDER"}, word: noOrder}
	case n < 32:
		return s.trouble(r)
	case n < 38:
		return s.wrong(r)
	case n < 39:
		return act{Step: simulator.Step{Code: pick(r, "NO_MERCHANT", "INACTIVE_MERCHANT", "INVLID_MERCHANT_CONFIG")}}
	default:
		return act{Step: simulator.Step{Code: pick(r, "1000", "1001", "BAD_SIGN", "DENIED_IP", "ABNORMAL_REQUEST_TIME")}}
	}
}

// settling is a final status of the right order with the right amount, written in
// any way that still says so.
func (s *script) settling(r *rand.Rand) act {
	a := act{}
	switch r.IntN(8) {
	case 0, 1:
		a.status = order.StatusTradeClosed
	case 2:
		a.status, a.RefundAmount = order.StatusTradeRefund, &[]int64{r.Int64N(s.amount) + 1}[0]
	case 3:
		a.status, a.RefundAmount = order.StatusTradeClosed, &s.amount
	default:
		a.status = order.StatusTradeSuccess
	}
	a.Status = chinaums.Status(a.status)
	for _, any := range [][]simulator.Mutation{
		{
			simulator.MutationTotalText, simulator.MutationTotalDecimal, simulator.MutationTotalDecimalText, simulator.MutationTotalExponent,
			simulator.MutationTotalTwice,
		},
		{
			simulator.MutationPartsText, simulator.MutationPartsNull, simulator.MutationPartsMissing, simulator.MutationPartsWord,
			simulator.MutationPartsTooBig,
		},
		{
			simulator.MutationStatusTwice, simulator.MutationBillPaymentObject, simulator.MutationBillPaymentText,
			simulator.MutationBillPaymentMissing, simulator.MutationUnknownFields, simulator.MutationStampSpelling, simulator.MutationPersonalData,
			simulator.MutationInvalidUTF8, simulator.MutationLoneSurrogate, simulator.MutationBadPayTime, simulator.MutationBadSettleDate,
		},
	} {
		if r.IntN(3) == 0 {
			a.Mutations = append(a.Mutations, pick(r, any...))
		}
	}
	if r.IntN(5) == 0 {
		a.Fault = pick(r, simulator.FaultContentType, simulator.FaultTwice, simulator.FaultCloseAfter)
	}
	a.Delay = pick(r, 0, 0, 0, time.Duration(r.IntN(60))*time.Millisecond)
	return a
}

// wrong is an answer that nothing may be booked of: a person has to look at it.
func (s *script) wrong(r *rand.Rand) act {
	status := pick(r, chinaums.StatusTradeSuccess, chinaums.StatusTradeRefund)
	says := func(review string, m ...simulator.Mutation) act {
		return act{Step: simulator.Step{Status: status, Mutations: m}, review: review}
	}
	switch r.IntN(5) {
	case 0:
		other := s.amount + 1 + r.Int64N(50)
		a := says("amount_mismatch")
		a.Amount = &other
		return a
	case 1:
		return says("amount_missing", pick(r, simulator.MutationTotalFraction, simulator.MutationTotalFractionText, simulator.MutationTotalNull,
			simulator.MutationTotalMissing, simulator.MutationTotalNegative, simulator.MutationTotalTooBig, simulator.MutationTotalWord,
			simulator.MutationTotalTwiceDifferent))
	case 2:
		m := []simulator.Mutation{simulator.MutationOtherMID, simulator.MutationNoMID, simulator.MutationNoOrderNumber}
		if s.holdsMer {
			m = append(m, simulator.MutationOtherOrder)
		}
		if s.holdsTarget {
			m = append(m, simulator.MutationOtherTargetOrder)
		}
		status = pick(r, status, chinaums.StatusTradeClosed, chinaums.StatusWaitBuyerPay, "SOMETHING_NEW")
		a := says("identity_mismatch", pick(r, m...))
		unproven := a.Mutations[0] == simulator.MutationNoMID || a.Mutations[0] == simulator.MutationNoOrderNumber
		if unproven && !order.Status(status).Settled() {
			a.review, a.word = "", waiting // it lacks the proof, and contradicts nothing
		}
		return a
	case 3:
		return says("unwritable", simulator.MutationNUL)
	default:
		return act{Step: simulator.Step{Code: pick(r, "BAD_REQUEST", "9001")}, review: "bad_request"}
	}
}

// unresolved is an answer that leaves the outcome open.
func (s *script) unresolved(r *rand.Rand) act {
	a := act{word: waiting}
	if r.IntN(2) == 0 {
		a.Status = pick(r, chinaums.StatusNewOrder, chinaums.StatusWaitBuyerPay, chinaums.StatusUnknown)
		return a
	}
	switch r.IntN(4) {
	case 0:
		a.Code = "ORDER_PROCESSING"
	case 1:
		a.Code = pick(r, "TARGET_FAIL", "7777")
	default:
		a.Status = pick(r, chinaums.StatusTradeSuccess, chinaums.StatusTradeClosed)
		a.Mutations = []simulator.Mutation{pick(r, simulator.MutationStatusUnknown, simulator.MutationStatusEmpty, simulator.MutationStatusMissing,
			simulator.MutationStatusNull, simulator.MutationStatusNumber, simulator.MutationStatusTwiceDifferent, simulator.MutationErrCodeMissing)}
	}
	return a
}

// trouble is no answer at all, often with a settlement inside that must not count.
// While others are answered it spends the plan, and age may end it.
func (s *script) trouble(r *rand.Rand) act {
	a := act{word: waiting, Step: simulator.Step{Status: pick(r, chinaums.StatusTradeSuccess, chinaums.StatusTradeClosed)}}
	switch r.IntN(6) {
	case 0:
		a.Code = pick(r, "9200", "9999", "INTERNAL_ERROR", "TIMEOUT", "NET_ERROR", "TXN_DISCARDED", "INVALID_RESPONSE", "SYSTEM_BUSY")
	case 1:
		a.HTTPStatus = pick(r, 404, 429, 500, 503, 302)
	case 2:
		a.Fault, a.Delay = pick(r, simulator.FaultSlowBody, simulator.FaultSlowHeader), 3*requestTimeout
	case 3:
		a.Delay = 2 * requestTimeout
	default:
		a.Fault = pick(r, simulator.FaultHang, simulator.FaultReset, simulator.FaultClose, simulator.FaultTruncated, simulator.FaultEmpty,
			simulator.FaultHTML404, simulator.FaultHTML502, simulator.FaultHTML503, simulator.FaultHTML504, simulator.FaultRedirect,
			simulator.FaultRateLimit, simulator.FaultOversize, simulator.FaultSwitching, simulator.FaultRawTab)
	}
	return a
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
