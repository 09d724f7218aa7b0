package soak_test

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"reconciler/internal/store/storetest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http prints the answers that nobody asked for
	os.Exit(storetest.Main(m))
}

const (
	// soakTime is how long an ordinary go test begins new rounds, each of which takes some 10 s.
	soakTime = 12 * time.Second
	// chaosTime is how long one round is interfered with, before its dust settles. Where a machine
	// is too slow for so many interventions it is longer.
	chaosTime, maxChaosTime = 2500 * time.Millisecond, 10 * time.Second
	minInterventions        = 100
)

// TestSoak runs rounds until its time is over. SOAKTIME and SOAKSEED set the
// time and the first round's seed.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes longer than all other tests")
	}
	duration, seed := settings(t)
	t.Logf("SOAKSEED=%d", seed)
	databases := make(map[bool]*database) // with and without partitions, by turns
	var all tally
	started := time.Now()
	for round := 0; round == 0 || time.Since(started) < duration; round++ {
		partitioned := seed%2 == 1
		if databases[partitioned] == nil {
			databases[partitioned] = newDatabase(t, partitioned)
		}
		one := runRound(t, databases[partitioned], seed)
		all.add(one)
		if t.Failed() {
			t.Fatalf("round %d failed: SOAKSEED=%d", round, seed)
		}
		seed++
	}
	t.Logf("%s: %s", time.Since(started).Round(time.Second), all)
}

func settings(t *testing.T) (duration time.Duration, seed uint64) {
	t.Helper()
	duration, seed = soakTime, rand.Uint64N(1_000_000_000)
	var err error
	if text := os.Getenv("SOAKTIME"); text != "" {
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAKTIME: %v", err)
		}
	}
	if text := os.Getenv("SOAKSEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SOAKSEED: %v", err)
		}
	}
	return duration, seed
}

// runRound lets a new world be interfered with, lets the dust settle, and looks
// at what has become of it.
func runRound(t *testing.T, db *database, seed uint64) tally {
	t.Helper()
	w := newWorld(t, db, seed)
	defer w.close()
	w.chaos()
	w.settleDust()
	w.checkHistory()
	w.checkTruth(false)
	w.reviewByHand()
	w.checkHistory()
	w.checkTruth(true)
	w.checkQuestions()
	w.checkPoison()
	done := w.tally()
	if !t.Failed() {
		w.checkFairness()
		done.addFairness(w)
	}
	return done
}

// tally counts what rounds did.
type tally struct {
	rounds, orders, questions, roundTrips, lives, crashes, interventions, settled, reviews, superseded, poison, vain, fair, overtakers int
}

func (a *tally) add(b tally) {
	a.rounds++
	a.orders += b.orders
	a.questions += b.questions
	a.roundTrips += b.roundTrips
	a.lives += b.lives
	a.crashes += b.crashes
	a.interventions += b.interventions
	a.settled += b.settled
	a.reviews += b.reviews
	a.superseded += b.superseded
	a.poison += b.poison
	a.vain += b.vain
	a.fair += b.fair
	a.overtakers = max(a.overtakers, b.overtakers)
}

func (a *tally) addFairness(w *world) {
	a.overtakers = w.overtakers
	if !w.fairVoid {
		a.fair = 1
	}
}

func (a tally) String() string {
	return fmt.Sprintf("%d rounds, %d orders, %d questions (%d round trips), %d pollers of which %d crashed, %d interventions; "+
		"%d settlements, %d reviews and %d superseded answers recorded, %d poison; %d round trips while writes failed; "+
		"at most %d round trips before a healthy merchant's order, in %d rounds",
		a.rounds, a.orders, a.questions, a.roundTrips, a.lives, a.crashes, a.interventions, a.settled, a.reviews, a.superseded, a.poison, a.vain, a.overtakers, a.fair)
}
