package poller

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/order"
)

func outcome(d order.Decision, reason string) order.Outcome {
	return order.Outcome{Decision: d, Reason: reason}
}

var (
	wellAnswered = outcome(order.Settled, "trade_success")
	unanswered   = outcome(order.NoAnswer, order.ReasonTransient)
	noCredit     = outcome(order.Refused, order.ReasonCredentials)
	noMerchant   = outcome(order.Refused, order.ReasonMerchant)
	panicked     = outcome(order.NoAnswer, "panic")
	justOver     = pause + time.Nanosecond
	justNotOver  = pause
	unlimited    = math.MaxInt
	noneInFlight = 0
)

// through sends questions of a merchant through the gates, one after the other.
func through(t *testing.T, g *gates, mid string, outcomes ...order.Outcome) {
	t.Helper()
	for _, out := range outcomes {
		leave, ok := g.enter(mid)
		if !ok {
			t.Fatalf("%s refused at the gate before %s", mid, out.Decision)
		}
		leave(out)
	}
}

func checkRoom(t *testing.T, g *gates, inFlight, want int) {
	t.Helper()
	if got := g.room(inFlight); got != want {
		t.Errorf("room with %d in flight = %d, want %d", inFlight, got, want)
	}
}

func shutOut(t *testing.T, g *gates, mid string) {
	t.Helper()
	if _, ok := g.enter(mid); ok {
		t.Errorf("%s may be asked about", mid)
	}
}

func TestFiveFailuresInARowOpenTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		through(t, g, testMID, unanswered, unanswered, unanswered, unanswered)
		checkRoom(t, g, 100, unlimited)
		through(t, g, otherMID, unanswered) // whoever they were about
		if !g.open() {
			t.Error("five failures in a row, and the gate is not open")
		}
		checkRoom(t, g, noneInFlight, 0)
		shutOut(t, g, testMID)

		time.Sleep(justNotOver)
		shutOut(t, g, testMID)
		time.Sleep(time.Nanosecond)
		if g.open() {
			t.Error("open beyond its pause")
		}
		checkRoom(t, g, noneInFlight, 1)
		checkRoom(t, g, 1, 0)
		checkRoom(t, g, 40, 0)
	})
}

func TestProbe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		probe     order.Outcome
		opensOnce bool
	}{
		{"settled", wellAnswered, false},
		{"deferred", outcome(order.Deferred, "unresolved"), false},
		{"not found", outcome(order.NotFound, "not_found"), false},
		{"review", outcome(order.Review, order.ReviewAmountMismatch), false},
		{"merchant refused", noMerchant, false},
		{"no answer", unanswered, true},
		{"credentials refused", noCredit, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGates()
				through(t, g, testMID, unanswered, unanswered, unanswered, unanswered, unanswered)
				time.Sleep(justOver)
				leave, ok := g.enter(otherMID)
				if !ok {
					t.Fatal("no probe")
				}
				shutOut(t, g, testMID) // one probe, not two
				time.Sleep(time.Hour)  // however long it takes
				shutOut(t, g, testMID)
				leave(tt.probe)
				if g.open() != tt.opensOnce {
					t.Errorf("after the probe, open = %t, want %t", g.open(), tt.opensOnce)
				}
				if !tt.opensOnce {
					checkRoom(t, g, 100, unlimited)
					return
				}
				time.Sleep(justNotOver)
				shutOut(t, g, testMID)
				time.Sleep(time.Nanosecond)
				through(t, g, testMID, wellAnswered, wellAnswered)
				checkRoom(t, g, 100, unlimited)
			})
		})
	}
}

func TestAnswerBetweenFailuresResets(t *testing.T) {
	t.Parallel()
	for _, between := range []order.Outcome{
		wellAnswered, outcome(order.Deferred, order.ReasonUnknownCode), outcome(order.Review, order.ReviewBadRequest), noMerchant,
	} {
		g := newGates()
		through(t, g, testMID, unanswered, unanswered, unanswered, unanswered)
		through(t, g, otherMID, between)
		through(t, g, testMID, unanswered, unanswered, unanswered, unanswered)
		if g.open() {
			t.Errorf("open after four failures behind %s", between.Decision)
		}
		through(t, g, testMID, unanswered)
		if !g.open() {
			t.Error("not open after five failures")
		}
	}
}

func TestCredentialsOpenTheGateAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		through(t, g, testMID, wellAnswered, wellAnswered, noCredit)
		if !g.open() {
			t.Fatal("not open")
		}
		time.Sleep(justOver)
		through(t, g, testMID, wellAnswered, unanswered, unanswered, unanswered, unanswered)
		if g.open() {
			t.Error("the refusal of before still counts")
		}
	})
}

// What was our own fault says nothing of the gateway: it neither opens the gate nor
// ends a row of failures, and a probe that came to nothing leaves room for another.
func TestOwnFaultsDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		for range 20 {
			through(t, g, testMID, panicked, outcome(order.NoAnswer, "internal_error"))
		}
		if g.open() {
			t.Fatal("panics opened the gate")
		}
		through(t, g, testMID, unanswered, unanswered, panicked, unanswered, unanswered, panicked, unanswered)
		if !g.open() {
			t.Fatal("five failures in a row, panics aside, and not open")
		}
		time.Sleep(justOver)
		through(t, g, testMID, panicked, panicked, wellAnswered)
		checkRoom(t, g, 100, unlimited)
	})
}

// Questions that were under way when the gate opened may not close it, nor keep it
// open, when they end.
func TestLateEndsDoNotMoveTheGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		var late []func(order.Outcome) bool
		for range 10 {
			leave, _ := g.enter(testMID)
			late = append(late, leave)
		}
		through(t, g, testMID, noCredit)
		for _, leave := range late[:5] {
			leave(wellAnswered)
		}
		if !g.open() {
			t.Error("closed by answers to questions of before")
		}
		time.Sleep(justOver)
		probe, ok := g.enter(testMID)
		if !ok {
			t.Fatal("no probe")
		}
		for _, leave := range late[5:] {
			leave(unanswered)
		}
		if g.open() {
			t.Error("opened again by failures of before")
		}
		probe(wellAnswered)
		checkRoom(t, g, 100, unlimited)
	})
}

func TestMerchantPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		through(t, g, testMID, noMerchant)
		if got := g.paused(); !slices.Equal(got, []string{testMID}) {
			t.Errorf("paused = %v, want that merchant", got)
		}
		shutOut(t, g, testMID)
		through(t, g, otherMID, wellAnswered)
		checkRoom(t, g, 100, unlimited)

		time.Sleep(justNotOver)
		shutOut(t, g, testMID)
		time.Sleep(time.Nanosecond)
		if got := g.paused(); len(got) != 0 {
			t.Errorf("paused = %v after the pause", got)
		}
		probe, ok := g.enter(testMID)
		if !ok {
			t.Fatal("no probe")
		}
		shutOut(t, g, testMID)
		if got := g.paused(); !slices.Equal(got, []string{testMID}) {
			t.Errorf("paused = %v during its probe, want the merchant", got)
		}
		probe(noMerchant)
		shutOut(t, g, testMID)
		through(t, g, otherMID, wellAnswered)

		time.Sleep(justOver)
		through(t, g, testMID, wellAnswered, wellAnswered)
		if got := g.paused(); len(got) != 0 || len(g.merchants) != 0 {
			t.Errorf("paused = %v, %d merchants kept; want none of one that is well", got, len(g.merchants))
		}
		through(t, g, testMID, noMerchant)
		shutOut(t, g, testMID)
	})
}

// Several questions about a merchant are under way when the first is refused: one
// pause comes of it, and the gateway itself counts as well.
func TestMerchantRefusedManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		var leaves []func(order.Outcome) bool
		for range 10 {
			leave, _ := g.enter(testMID)
			leaves = append(leaves, leave)
		}
		for _, leave := range leaves {
			leave(noMerchant)
			time.Sleep(time.Second)
		}
		if g.open() {
			t.Error("one merchant's trouble shut the gateway off")
		}
		time.Sleep(20*time.Second + 1) // 30 s after the first
		through(t, g, testMID, wellAnswered)
	})
}

// A merchant that may not be asked about takes no probe away from the others.
func TestPausedMerchantTakesNoProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGates()
		through(t, g, testMID, noCredit)
		time.Sleep(20 * time.Second)
		// A question of before the opening ends now and pauses its merchant for longer.
		g.shut(otherMID, nil)
		time.Sleep(10*time.Second + 1)
		for range 5 {
			shutOut(t, g, otherMID)
		}
		through(t, g, testMID, wellAnswered)
		checkRoom(t, g, 100, unlimited)
	})
}

// Merchant trouble pauses a mid, and nothing else does: a merchant that is well again
// is not paused by one failure of the gateway.
func TestRecoveredMerchantIsLikeAnyOther(t *testing.T) {
	t.Parallel()
	for _, later := range []order.Outcome{unanswered, noCredit} {
		synctest.Test(t, func(t *testing.T) {
			g := newGates()
			through(t, g, testMID, noMerchant)
			time.Sleep(justOver)
			through(t, g, testMID, wellAnswered) // the probe
			through(t, g, testMID, later)        // claimed before, asked now
			if got := g.paused(); len(got) != 0 {
				t.Errorf("%s %s paused %v", later.Decision, later.Reason, got)
			}
		})
	}
}

// The gates are used by all workers at once; this is for the race detector.
func TestGatesAtOnce(t *testing.T) {
	t.Parallel()
	g := newGates()
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			outs := []order.Outcome{wellAnswered, unanswered, noMerchant, panicked, noCredit}
			for i := range 200 {
				if leave, ok := g.enter(fmt.Sprint(worker%4, i%50)); ok {
					leave(outs[(i+worker)%len(outs)])
				}
				g.paused()
				g.room(i)
			}
		})
	}
	wg.Wait()
	if !g.open() {
		t.Error("credentials were refused, and the gate is not open")
	}
}
