package poller

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"reconciler/internal/store"
)

// After a slow look that found nothing, the daemon's claims go on behind it, from pass to pass. A
// look from the beginning follows in time. Other runs always end with one.
func TestSlowLooksFromTheBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, daemon := newScheduled(t, slog.New(slog.DiscardHandler), nil), Run{schedule: every(t, "@every 5s")}
		a := (*p.apps.Load())[0]
		empty := store.Page{At: time.Now()}
		begin := func(run Run, took time.Duration) *cursor {
			c := newCursor(p, a, run, nil)
			if c.isStale() {
				c.backToStart()
				c.place.took = took
			}
			c.passOver(empty)
			return c
		}
		c := begin(daemon, 200*time.Millisecond)
		if want := (store.Cursor{NextQueryAt: empty.At.Add(-commitsWithin), ID: 1}); c.place.from != want || c.looksAgain() {
			t.Errorf("after a slow look the claims go on from %v, want %v", c.place.from, want)
		}
		time.Sleep(19 * time.Second)
		if c = begin(daemon, 0); c.isStale() || c.looksAgain() {
			t.Error("the next pass begins at the beginning")
		}
		time.Sleep(2 * time.Second)
		if !c.isStale() || !c.looksAgain() || c.place.from != (store.Cursor{}) {
			t.Error("a look from the beginning does not come in time")
		}
		a.place = place{}
		if c = begin(daemon, time.Hour); c.isStale() {
			t.Error("a very slow look is repeated at once")
		}
		if time.Sleep(maxFromStart + 1); !c.isStale() {
			t.Error("a very slow look is not repeated in time")
		}
		a.place = place{}
		if c = begin(daemon, slowLook); c.place.from != (store.Cursor{}) {
			t.Error("a quick look is passed over")
		}
		c = begin(Run{}, time.Second)
		if c.passOver(empty); c.place.from != (store.Cursor{}) {
			t.Error("a run that nothing follows passes over orders")
		}
		a.place = place{}
		if c = begin(Run{schedule: every(t, "@hourly")}, time.Second); c.place.from != (store.Cursor{}) {
			t.Error("a pass that is followed an hour later passes over orders")
		}
	})
}

// What a claim left out on purpose may be due: it is not passed over.
func TestPassOver(t *testing.T) {
	t.Parallel()
	p := newScheduled(t, slog.New(slog.DiscardHandler), nil)
	for name, page := range map[string]store.Page{
		"paused":       {Paused: true},
		"no budget":    {NextToken: time.Second},
		"at a limit":   {MoreDue: true},
		"refused rows": {Refused: []store.Refusal{{}}},
		"no time":      {},
	} {
		c := newCursor(p, &app{place: place{took: time.Second}}, Run{schedule: every(t, "@every 5s")}, nil)
		if name != "no time" {
			page.At = time.Now()
		}
		if c.passOver(page); c.place.from != (store.Cursor{}) {
			t.Errorf("%s: the claims go on behind the page", name)
		}
	}
}
