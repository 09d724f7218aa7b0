package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// endlessStore has due orders of some merchants in turn, as many as anybody claims. It stands in
// where time is not real and a connection cannot be. The claimers call it in turn.
type endlessStore struct {
	dueStore

	merchants int
	ahead     int   // orders of each of the first merchants that are longer due than all others
	made      int   // orders so far
	leftOut   []int // merchants of those that no claim took yet, in the order of their due times
}

func merchantMID(i int) string { return fmt.Sprintf("%015d", i) }

func (s *endlessStore) Claim(_ context.Context, c store.Claim) (store.Page, error) {
	time.Sleep(10 * time.Millisecond)
	var page store.Page
	inHand := maps.Clone(c.InHand)
	if inHand == nil {
		inHand = make(map[string]int)
	}
	take := func(merchant int) bool {
		mid := merchantMID(merchant)
		most, isCapped := c.MerchantCaps[mid]
		if slices.Contains(c.LimitedMIDs, mid) || isCapped && inHand[mid] >= most || c.MaxPerMerchant > 0 && inHand[mid] >= c.MaxPerMerchant {
			return false
		}
		inHand[mid]++
		id := int64(s.made*1000 + len(page.Orders) + 1)
		page.Orders = append(page.Orders, order.Order{
			ID: id, MID: mid, TID: testTID, MerOrderID: fmt.Sprint(id), OrderAmount: testAmount, ClaimNo: 1, Status: "UNKNOWN",
			CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), ClaimedAt: time.Now(),
		})
		return true
	}
	s.leftOut = slices.DeleteFunc(s.leftOut, func(merchant int) bool { return len(page.Orders) < c.Limit && take(merchant) })
	for ; len(page.Orders) < c.Limit; s.made++ {
		if merchant := s.merchantOf(s.made); !take(merchant) {
			s.leftOut = append(s.leftOut, merchant)
		}
	}
	return page, nil
}

// firstOnes are the merchants that may have orders ahead of all others.
const firstOnes = 10

func (s *endlessStore) merchantOf(i int) int {
	if i < firstOnes*s.ahead {
		return i % firstOnes
	}
	return i % s.merchants
}

func (s *endlessStore) MerchantStats(context.Context) (store.MerchantStats, error) {
	return store.MerchantStats{Merchants: 2}, nil
}

func (s *endlessStore) Record(_ context.Context, group []order.Outcome) ([]store.Recorded, error) {
	return make([]store.Recorded, len(group)), nil
}

func (s *endlessStore) Release(context.Context, []order.Order) error { return nil }

func (s *endlessStore) PauseByBreaker(context.Context, store.BreakerPause) error { return nil }

// answeredCounter counts the questions that got an answer.
type answeredCounter struct {
	Unobserved

	n atomic.Int64
}

func (c *answeredCounter) Decided(out order.Outcome) {
	if out.Decision == order.Deferred {
		c.n.Add(1)
	}
}

// answeredWithin is how many questions are answered in a time while some merchants of a thousand
// hang.
func answeredWithin(t *testing.T, ahead int, latency time.Duration, hang int, timeout, within time.Duration) float64 {
	t.Helper()
	const merchants = 1000
	var asked answeredCounter
	synctest.Test(t, func(t *testing.T) {
		gateway := gatewayFunc(func(_ context.Context, r chinaums.Request) (chinaums.Answer, error) {
			if r.MID < merchantMID(hang) {
				time.Sleep(timeout)
				return chinaums.Answer{}, &chinaums.Error{GatewayFailed: true, Err: errors.New("timeout")}
			}
			time.Sleep(latency)
			return chinaums.Answer{HTTPStatus: 200, Code: "ORDER_PROCESSING"}, nil
		})
		p, err := New(Options{
			Store: &endlessStore{merchants: merchants, ahead: ahead}, Apps: oneApp(gateway), Logger: slog.New(slog.DiscardHandler), Worker: "test",
			Concurrency: 64, RequestTimeout: timeout, Lease: time.Minute, Rules: policy.Rules{Plan: testPlan()}, Observer: &asked,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		if _, err := p.RunOnce(ctx, Run{}); err != nil {
			t.Error(err)
		}
	})
	return float64(asked.n.Load())
}

// Ten merchants of a thousand hang until the timeout, and the others keep nine tenths of their
// throughput. The first ten questions hold ten workers of 64 for a timeout, because nobody can know
// before. They hold no more if the longest due orders are theirs, as they are when a process begins
// beside merchants that hang.
func TestThroughputBesideMerchantsThatHang(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ahead                    int
		latency, timeout, within time.Duration
	}{
		{0, 200 * time.Millisecond, time.Second, 6 * time.Second},
		{0, 500 * time.Millisecond, 10 * time.Second, 40 * time.Second},
		{50, 500 * time.Millisecond, 10 * time.Second, 40 * time.Second},
	} {
		alone := answeredWithin(t, 0, tt.latency, 0, tt.timeout, tt.within)
		beside := answeredWithin(t, tt.ahead, tt.latency, firstOnes, tt.timeout, tt.within)
		t.Logf("timeout %v, the first %v: %.0f questions beside ten that hang, %.0f without: %.3f", tt.timeout, tt.within, beside, alone, beside/alone)
		if beside < 0.9*alone {
			t.Errorf("timeout %v: %.0f questions in %v, want nine tenths of %.0f", tt.timeout, beside, tt.within, alone)
		}
	}
}
