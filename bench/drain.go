package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// usualConcurrency is how many questions are in flight where nothing else is said.
const usualConcurrency = 64

// entrant is a contestant with its number of orders: what takes all of them about as long.
type entrant struct {
	contestant

	orders int
}

func (l *lab) listEntrants() []entrant {
	return []entrant{
		{productEntrant(), l.sizes.Product},
		{loopPeer(), l.sizes.Loop},
		{riverPeer(), l.sizes.River},
		{riverTxPeer(), l.sizes.RiverTx},
	}
}

// inTurn turns every second round round, so that a machine that becomes slower, or faster, levels
// out.
func inTurn[T any](round int, all []T) []T {
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}

// runDrain works backlogs off at a gateway that answers at once, which shows what everything but
// waiting costs.
func (l *lab) runDrain(ctx context.Context, r *report) error {
	const name = "drain"
	lesser := []entrant{{loopWithoutEvents(), l.sizes.Loop}, {riverWithoutEvents(), l.sizes.River}}
	for round := range l.sizes.Rounds {
		for _, e := range inTurn(round, append(l.listEntrants(), lesser...)) {
			one, err := l.tryOnce(ctx, trial{who: e.contestant, round: round, orders: e.orders, concurrency: usualConcurrency}, nil)
			if err != nil {
				return err
			}
			r.addNote(name, one)
		}
	}
	if err := l.countRoundTrips(ctx, r); err != nil {
		return err
	}
	us := productEntrant().name
	tuned, tx, loop := riverPeer().name, riverTxPeer().name, loopPeer().name
	against := func(who string, measure func(trialResult) float64) float64 {
		return ratioOf(r.linesOf(name, us, measure), r.linesOf(name, who, measure))
	}
	r.addLine(name, "orders/s to River tuned", against(tuned, perSecond), "×", atLeast(4.5))
	r.addLine(name, "orders/s to River tx", against(tx, perSecond), "×", atLeast(8))
	r.addLine(name, "orders/s to the loop", against(loop, perSecond), "×", atLeast(3))
	r.addLine(name, "Go CPU to River tuned", against(tuned, goCPU), "×", atMost(0.4))
	r.addLine(name, "Postgres CPU to River tuned", against(tuned, serverCPU), "×", atMost(0.15))
	r.addLine(name, "commits per order", medianOf(r.linesOf(name, us, commitsPerOrder)), "", atMost(0.05))
	r.addLine(name, "round trips per order", medianOf(r.linesOf(counting, us, roundTrips)), "", atMost(0.05))
	r.addLine(name, "WAL per order", medianOf(r.linesOf(name, us, walPerOrder)), "bytes", atMost(1600))
	for _, e := range lesser {
		r.addLine(name, "orders/s to "+e.name, against(e.name, perSecond), "×", goal{})
		r.addLine(name, "Postgres CPU to "+e.name, against(e.name, serverCPU), "×", goal{})
	}
	r.addLine(name, "peak memory", medianOf(r.linesOf(name, us, peakMB)), "MB", goal{})
	return nil
}

// counting is the name under which the trials that count round trips are kept.
const counting = "counting"

// countRoundTrips repeats the drain, shorter, through a proxy.
func (l *lab) countRoundTrips(ctx context.Context, r *report) error {
	for _, e := range l.listEntrants() {
		orders := min(e.orders, l.sizes.Counted)
		if e.name == productEntrant().name {
			orders = e.orders // of its few round trips those of the start would be many
		}
		one, err := l.tryOnce(ctx, trial{who: e.contestant, orders: orders, concurrency: usualConcurrency, counted: true}, nil)
		if err != nil {
			return err
		}
		r.addNote(counting, one)
	}
	for _, e := range l.listEntrants()[1:] {
		r.addLine("drain", "round trips per order, "+e.name, medianOf(r.linesOf(counting, e.name, roundTrips)), "", goal{})
	}
	return nil
}

// runLatencies work backlogs off at gateways that take their time: then the concurrency is the
// limit.
func (l *lab) runLatencies(ctx context.Context, r *report) error {
	for _, at := range []struct {
		latency     time.Duration
		concurrency int
		share       float64 // of the limit, to be reached
		commits     goal
	}{
		{100 * time.Millisecond, 64, 0.97, atMost(0.15)},
		{100 * time.Millisecond, 256, 0.97, atMost(0.15)},
		{20 * time.Millisecond, 64, 0.90, goal{}},
	} {
		limit := float64(at.concurrency) / at.latency.Seconds()
		entrants := l.listEntrants()[:1]
		if l.sizes.SteadyPeers && at.concurrency == usualConcurrency {
			entrants = l.listEntrants()
		}
		for _, e := range entrants {
			t := trial{who: e.contestant, orders: int(limit * l.sizes.Steady.Seconds()), latency: at.latency, concurrency: at.concurrency}
			one, err := l.tryOnce(ctx, t, nil)
			if err != nil {
				return err
			}
			r.addNote("latency", one)
			what := fmt.Sprintf("%s at %v, %d in flight: ", e.name, at.latency, at.concurrency)
			if e.name != productEntrant().name {
				r.addLine("latency", what+"share of the limit", one.Rate/limit, "", goal{})
				continue
			}
			r.addLine("latency", what+"share of the limit", one.Rate/limit, "", atLeast(at.share))
			r.addLine("latency", what+"commits per order", one.Commits, "", at.commits)
			r.addLine("latency", what+"peak memory", one.PeakMB, "MB", atMost(64))
		}
	}
	return nil
}

// bareWrite compares the product's whole work with the mere writing of the same rows. The one that
// asks nobody leaves the product two cores' worth of other work: their rates say how far the whole
// is from the disk, and what the server spends on an order, claim included, how good the product's
// statements are.
func (l *lab) bareWrite(ctx context.Context, r *report) error {
	const name = "bare"
	us := entrant{productEntrant(), l.sizes.Product}
	same := entrant{peerNamed("bare: orders, ledger, events", "bare-events", nil), l.sizes.Bare}
	fewer := entrant{peerNamed("bare: orders, ledger", "bare", nil), l.sizes.Bare}
	for round := range l.sizes.Rounds {
		for _, e := range inTurn(round, []entrant{us, same, fewer}) {
			one, err := l.tryOnce(ctx, trial{who: e.contestant, round: round, orders: e.orders, concurrency: usualConcurrency}, nil)
			if err != nil {
				return err
			}
			r.addNote(name, one)
		}
	}
	add := func(to entrant, wanted goal) {
		r.addLine(name, "the drain's orders/s to "+to.name, ratioOf(r.linesOf(name, us.name, perSecond), r.linesOf(name, to.name, perSecond)), "×", goal{})
		r.addLine(name, "Postgres CPU of "+to.name+" to the drain's", ratioOf(r.linesOf(name, to.name, serverCPU), r.linesOf(name, us.name, serverCPU)), "×", wanted)
	}
	add(same, atLeast(0.6))
	add(fewer, goal{})
	return nil
}
