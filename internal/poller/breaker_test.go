package poller

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/policy"
)

// newTestBreaker writes nothing: its pauses hold in this process.
func newTestBreaker() *breaker {
	return newBreaker(nil, slog.New(slog.DiscardHandler), Unobserved{}, 10*time.Second)
}

var testApp = &app{App: App{AppID: "test-app"}}

// questionAbout is a question about an order of a merchant, claimed now.
func questionAbout(id int64, mid string) claimed {
	return claimed{Order: order.Order{ID: id, MID: mid}, app: testApp, sentAt: time.Now()}
}

func asProbe(c claimed) claimed {
	c.AppProbe = true
	return c
}

// through sends questions about a merchant through the breaker, one after the other.
func through(t *testing.T, b *breaker, mid string, troubles ...policy.Trouble) {
	t.Helper()
	for i, trouble := range troubles {
		time.Sleep(time.Millisecond)
		c := questionAbout(int64(i+1), mid)
		if !b.allowsOrder(c) {
			t.Fatalf("%s: refused before trouble %d", mid, trouble)
		}
		b.reportQuestion(t.Context(), c, trouble, finalReply{cause: "x"})
	}
}

// movesOf reports a question as reportQuestion does, and returns the moves.
func movesOf(t *testing.T, b *breaker, c claimed, trouble policy.Trouble) moves {
	t.Helper()
	m := b.judgeQuestion(c, trouble, finalReply{})
	b.applyMoves(t.Context(), c, m, "x")
	return m
}

func wantAllowed(t *testing.T, b *breaker, mid string, want bool) {
	t.Helper()
	time.Sleep(time.Nanosecond)
	if got := b.allowsOrder(questionAbout(99, mid)); got != want {
		t.Errorf("after %s, %s is allowed: %t, want %t", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), mid, got, want)
	}
}

const (
	ok         = policy.NoTrouble
	ours       = policy.NothingLearned
	fails      = policy.GatewayFails
	mFails     = policy.MerchantFails
	refusedKey = policy.CredentialsRefused
	mRefused   = policy.MerchantRefused
)

func TestFiveFailuresInARowOpenTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		through(t, b, testMID, fails, fails, fails, fails)
		wantAllowed(t, b, testMID, true)
		through(t, b, otherMID, fails) // about whichever merchant
		wantAllowed(t, b, testMID, false)
		wantAllowed(t, b, otherMID, false)
		if !b.isPaused("test-app", false) || b.isPaused("another-app", false) {
			t.Error("not that app alone is paused")
		}
		time.Sleep(breakerPause)
		wantAllowed(t, b, testMID, true)
	})
}

// An opening tells what it has cost: the failures that led to it, and those of questions that were
// under way when it opened before.
func TestOpeningCountsLostQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		late := questionAbout(9, testMID)
		time.Sleep(time.Millisecond)
		through(t, b, testMID, fails, fails, fails, fails)
		if m := movesOf(t, b, questionAbout(5, testMID), fails); m.app != open || m.appLost != 5 {
			t.Errorf("the fifth failure: %+v", m)
		}
		b.reportQuestion(t.Context(), late, fails, finalReply{})
		time.Sleep(breakerPause)
		if m := movesOf(t, b, asProbe(questionAbout(6, otherMID)), fails); m.app != open || m.appLost != 2 {
			t.Errorf("the failing probe: %+v", m)
		}
		time.Sleep(breakerPause)
		through(t, b, otherMID, ok)
		through(t, b, testMID, mFails, mFails, mFails, mFails)
		if m := movesOf(t, b, questionAbout(5, testMID), mFails); m.merchant != open || m.merchantLost != 5 {
			t.Errorf("a merchant's fifth failure: %+v", m)
		}
	})
}

func TestAnswerBetweenFailuresResets(t *testing.T) {
	t.Parallel()
	for _, between := range []policy.Trouble{ok, mFails, mRefused} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestBreaker()
			through(t, b, testMID, fails, fails, fails, fails)
			through(t, b, testMID, between)
			time.Sleep(breakerPause) // of a merchant that was refused
			through(t, b, testMID, fails, fails, fails, fails)
			wantAllowed(t, b, testMID, true)
			through(t, b, testMID, fails)
			wantAllowed(t, b, otherMID, false)
		})
	}
}

func TestCredentialsOpenTheBreakerAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		through(t, b, testMID, ok, ok, refusedKey)
		wantAllowed(t, b, otherMID, false)
	})
}

// A fault of ours says nothing about the gateway: it neither opens the breaker nor ends a row of
// failures.
func TestOwnFaultsDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		for range 20 {
			through(t, b, testMID, ours)
		}
		through(t, b, testMID, fails, fails, ours, fails, fails, ours, fails)
		wantAllowed(t, b, testMID, false)
	})
}

// While another merchant is answered, a failure is its merchant's alone; five in a row pause it.
func TestFailuresOfOneMerchantPauseItAlone(t *testing.T) {
	t.Parallel()
	for _, trouble := range []policy.Trouble{fails, mFails} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestBreaker()
			for range 4 {
				through(t, b, otherMID, ok)
				through(t, b, testMID, trouble)
			}
			wantAllowed(t, b, testMID, true)
			through(t, b, testMID, trouble)
			wantAllowed(t, b, testMID, false)
			wantAllowed(t, b, otherMID, true)
			time.Sleep(breakerPause)
			wantAllowed(t, b, testMID, true)
		})
	}
}

// The others' answers count for a request timeout and five seconds.
func TestOthersAnswersGrowOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		through(t, b, otherMID, ok)
		time.Sleep(15*time.Second + time.Millisecond)
		through(t, b, testMID, fails, fails, fails, fails, fails)
		wantAllowed(t, b, otherMID, false)
	})
}

// Questions that were under way when the breaker opened do not move it when they end.
func TestLateEndsDoNotMoveTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		late := questionAbout(1, testMID)
		time.Sleep(time.Millisecond)
		through(t, b, testMID, refusedKey)
		time.Sleep(10 * time.Second)
		for range 10 {
			b.reportQuestion(t.Context(), late, ok, finalReply{})
			b.reportQuestion(t.Context(), late, fails, finalReply{})
			b.reportQuestion(t.Context(), late, refusedKey, finalReply{})
		}
		wantAllowed(t, b, testMID, false)
		time.Sleep(20 * time.Second)
		wantAllowed(t, b, testMID, true)
		if b.allowsOrder(late) {
			t.Error("an order that was claimed before the opening is asked")
		}
	})
}

// A probe that fails opens the breaker again, at the first failure.
func TestProbeThatFails(t *testing.T) {
	t.Parallel()
	for _, trouble := range []policy.Trouble{fails, refusedKey} {
		synctest.Test(t, func(t *testing.T) {
			b := newTestBreaker()
			time.Sleep(time.Millisecond)
			b.reportQuestion(t.Context(), asProbe(questionAbout(1, testMID)), trouble, finalReply{})
			wantAllowed(t, b, otherMID, false)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		time.Sleep(time.Millisecond)
		b.reportQuestion(t.Context(), asProbe(questionAbout(1, testMID)), mFails, finalReply{}) // the gateway is alive
		wantAllowed(t, b, otherMID, true)
	})
}

// Retry-After counts as long as it says, and with HTTP 429 at once.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		time.Sleep(time.Millisecond)
		b.reportQuestion(t.Context(), questionAbout(1, testMID), fails, finalReply{retryAfter: 90 * time.Second, overloaded: true})
		wantAllowed(t, b, testMID, false)
		time.Sleep(89 * time.Second)
		wantAllowed(t, b, testMID, false)
		time.Sleep(time.Second)
		wantAllowed(t, b, testMID, true)
		b.reportQuestion(t.Context(), questionAbout(2, testMID), fails, finalReply{retryAfter: 90 * time.Second}) // a 503
		wantAllowed(t, b, testMID, true)
	})
}

// A gateway that asks to be left alone is left alone, also where it has just answered about another
// merchant.
func TestRetryAfterBesideAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		time.Sleep(time.Millisecond)
		b.reportQuestion(t.Context(), questionAbout(1, otherMID), ok, finalReply{})
		b.reportQuestion(t.Context(), questionAbout(2, testMID), fails, finalReply{overloaded: true})
		wantAllowed(t, b, otherMID, true)
		b.reportQuestion(t.Context(), questionAbout(3, testMID), fails, finalReply{retryAfter: 90 * time.Second, overloaded: true})
		wantAllowed(t, b, otherMID, false)
		time.Sleep(89 * time.Second)
		wantAllowed(t, b, otherMID, false)
		time.Sleep(time.Second)
		wantAllowed(t, b, otherMID, true)
	})
}

// The last usable answer about another order is remembered however often one order is answered.
func TestOthersAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newTestBreaker()
		if at := b.othersAnsweredAt(questionAbout(1, testMID)); !at.IsZero() {
			t.Errorf("nothing was answered, but at %s", at)
		}
		b.reportQuestion(t.Context(), questionAbout(2, testMID), ok, finalReply{})
		answered := time.Now()
		for range 3 {
			time.Sleep(time.Second)
			b.reportQuestion(t.Context(), questionAbout(1, testMID), ok, finalReply{})
		}
		if at := b.othersAnsweredAt(questionAbout(1, testMID)); !at.Equal(answered) {
			t.Errorf("another order was answered at %s, want %s", at, answered)
		}
	})
}

// The breaker is used by all workers at once; this is for the race detector.
func TestBreakerAtOnce(t *testing.T) {
	t.Parallel()
	b := newTestBreaker()
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			all := []policy.Trouble{ok, fails, mRefused, ours, mFails}
			for i := range 200 {
				if c := questionAbout(int64(i), fmt.Sprint(worker%4, i%50)); b.allowsOrder(c) {
					b.reportQuestion(t.Context(), c, all[(i+worker)%len(all)], finalReply{})
				}
				b.isPaused("test-app", false)
			}
		})
	}
	wg.Wait()
}
