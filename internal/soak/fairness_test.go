package soak_test

import (
	"slices"
	"sync"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
)

const (
	// fairTime is how long the fair part of a round takes. Its request timeout is fairTimeout,
	// which a healthy answer should keep on a slow machine too.
	fairTime, fairTimeout = 1500 * time.Millisecond, time.Second
	// maxOvertakers is how many round trips of others may begin while a healthy merchant's order is
	// due: some times what one process may hold.
	maxOvertakers = 120
)

// checkFairness lets one merchant of three hang and one answer rubbish or refuse, both with
// backlogs, and their rows be locked. The orders of the third are asked about all the same. It
// counts round trips and no time, so that it holds on a slow machine. Where even the healthy
// merchant was paused, the machine was too slow to tell.
func (w *world) checkFairness() {
	w.t.Helper()
	w.db.empty(w.t)
	w.scripts, w.byNumber = nil, make(map[string]*script)
	mids := merchants()
	w.rand.Shuffle(len(mids), func(i, j int) { mids[i], mids[j] = mids[j], mids[i] })
	healthy := mids[0]
	w.insertHealthy(healthy)
	l := w.newLifeWith("fair", 8, 0, 0, fairTimeout)
	var running sync.WaitGroup
	running.Go(l.run)
	defer func() { l.stop(); running.Wait() }()
	if !w.eventually(func() bool { return w.isSettled(w.scripts[0]) }) {
		w.report(w.scripts[0].number, "a healthy merchant's order is not settled, alone;")
		return
	}
	w.changeMood(mids[1], moodHangs)
	w.changeMood(mids[2], pick(w.rand, moodHangs, moodRubbish))
	for _, mid := range mids[1:] {
		for range 60 {
			w.insertHealthy(mid)
		}
	}
	inserted := make(map[string]time.Time)
	for end := time.Now().Add(fairTime); time.Now().Before(end); sleep(l.stopped, 50*time.Millisecond) {
		s := w.insertHealthy(healthy)
		inserted[s.number] = time.Now()
	}
	settled := w.eventually(func() bool {
		return one[int](w.t, w.db.clock, `SELECT count(*)::int FROM orders WHERE mid = $1 AND status = 'UNKNOWN'`, healthy) == 0
	})
	if w.fairVoid = one[bool](w.t, w.db.clock, `SELECT EXISTS (SELECT 1 FROM gateway_incidents WHERE key IN ($1, $2))`, appID, healthy); w.fairVoid {
		return
	}
	if !settled {
		w.t.Error("the orders of a healthy merchant are not asked about, beside others that are ill")
	}
	w.checkOvertakers(healthy, inserted)
}

// checkOvertakers counts the round trips of others that began between the time when an order was
// due and its own first one.
func (w *world) checkOvertakers(healthy string, inserted map[string]time.Time) {
	w.mu.Lock()
	trips := slices.Clone(w.trips)
	w.mu.Unlock()
	first := make(map[string]time.Time)
	for _, t := range trips {
		if at, asked := first[t.number]; t.life.isFair() && (!asked || t.began.Before(at)) {
			first[t.number] = t.began
		}
	}
	for number, due := range inserted {
		overtakers := 0
		for _, t := range trips {
			if t.life.isFair() && w.byNumber[t.number].mid != healthy && t.began.After(due) && t.began.Before(first[number]) {
				overtakers++
			}
		}
		w.overtakers = max(w.overtakers, overtakers)
		if overtakers > maxOvertakers {
			w.report(number, "%d round trips of others came before a healthy merchant's order;", overtakers)
		}
	}
}

// insertHealthy adds an order that is paid.
func (w *world) insertHealthy(mid string) *script {
	s := newScript(w.rand, len(w.scripts)+1)
	s.mid, s.holdsMer, s.holdsTarget = mid, true, false
	s.steps = []act{{Step: simulator.Step{Status: chinaums.StatusTradeSuccess}}}
	w.addOrder(s, 0, false)
	return s
}

func (w *world) isSettled(s *script) bool {
	return one[bool](w.t, w.db.clock, `SELECT status = 'TRADE_SUCCESS' FROM orders WHERE mer_order_id = $1`, s.mer)
}

// eventually polls until done, within a time that no machine is too slow for.
func (w *world) eventually(done func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); sleep(w.t.Context(), 20*time.Millisecond) {
		if done() {
			return true
		}
	}
	return false
}
