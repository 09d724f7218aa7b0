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

func (l *lab) entrants() []entrant {
	return []entrant{
		{product(), l.sizes.Product},
		{loopPeer(), l.sizes.Loop},
		{riverPeer(), l.sizes.River},
		{riverTxPeer(), l.sizes.RiverTx},
	}
}

// inTurn turns every second round round, so that a machine that becomes slower, or faster, levels out.
func inTurn[T any](round int, all []T) []T {
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}

// drain works backlogs off at a gateway that answers at once, which shows what everything but waiting costs.
func (l *lab) drain(ctx context.Context, r *report) error {
	const name = "drain"
	lesser := []entrant{{loopWithoutEvents(), l.sizes.Loop}, {riverWithoutEvents(), l.sizes.River}}
	for round := range l.sizes.Rounds {
		for _, e := range inTurn(round, append(l.entrants(), lesser...)) {
			one, err := l.try(ctx, trial{who: e.contestant, round: round, orders: e.orders, concurrency: usualConcurrency}, nil)
			if err != nil {
				return err
			}
			r.note(name, one)
		}
	}
	if err := l.countRoundTrips(ctx, r); err != nil {
		return err
	}
	us := product().name
	tuned, tx, loop := riverPeer().name, riverTxPeer().name, loopPeer().name
	against := func(who string, measure func(result) float64) float64 {
		return ratio(r.of(name, us, measure), r.of(name, who, measure))
	}
	r.add(name, "orders/s to River tuned", against(tuned, rate), "×", atLeast(4.5))
	r.add(name, "orders/s to River tx", against(tx, rate), "×", atLeast(8))
	r.add(name, "orders/s to the loop", against(loop, rate), "×", atLeast(3))
	r.add(name, "Go CPU to River tuned", against(tuned, goCPU), "×", atMost(0.4))
	r.add(name, "Postgres CPU to River tuned", against(tuned, serverCPU), "×", atMost(0.15))
	r.add(name, "commits per order", median(r.of(name, us, commits)), "", atMost(0.05))
	r.add(name, "round trips per order", median(r.of(counting, us, roundTrips)), "", atMost(0.05))
	r.add(name, "WAL per order", median(r.of(name, us, wal)), "bytes", atMost(1600))
	for _, e := range lesser {
		r.add(name, "orders/s to "+e.name, against(e.name, rate), "×", goal{})
		r.add(name, "Postgres CPU to "+e.name, against(e.name, serverCPU), "×", goal{})
	}
	r.add(name, "peak memory", median(r.of(name, us, peakMB)), "MB", goal{})
	return nil
}

// counting is the name under which the trials that count round trips are kept.
const counting = "counting"

// countRoundTrips repeats the drain, shorter, through a proxy.
func (l *lab) countRoundTrips(ctx context.Context, r *report) error {
	for _, e := range l.entrants() {
		orders := min(e.orders, l.sizes.Counted)
		if e.name == product().name {
			orders = e.orders // of its few round trips those of the start would be many
		}
		one, err := l.try(ctx, trial{who: e.contestant, orders: orders, concurrency: usualConcurrency, counted: true}, nil)
		if err != nil {
			return err
		}
		r.note(counting, one)
	}
	for _, e := range l.entrants()[1:] {
		r.add("drain", "round trips per order, "+e.name, median(r.of(counting, e.name, roundTrips)), "", goal{})
	}
	return nil
}

// latencies work backlogs off at gateways that take their time: then the concurrency is the limit.
func (l *lab) latencies(ctx context.Context, r *report) error {
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
		entrants := l.entrants()[:1]
		if l.sizes.SteadyPeers && at.concurrency == usualConcurrency {
			entrants = l.entrants()
		}
		for _, e := range entrants {
			t := trial{who: e.contestant, orders: int(limit * l.sizes.Steady.Seconds()), latency: at.latency, concurrency: at.concurrency}
			one, err := l.try(ctx, t, nil)
			if err != nil {
				return err
			}
			r.note("latency", one)
			what := fmt.Sprintf("%s at %v, %d in flight: ", e.name, at.latency, at.concurrency)
			if e.name != product().name {
				r.add("latency", what+"share of the limit", one.Rate/limit, "", goal{})
				continue
			}
			r.add("latency", what+"share of the limit", one.Rate/limit, "", atLeast(at.share))
			r.add("latency", what+"commits per order", one.Commits, "", at.commits)
		}
	}
	return nil
}

// bareWrite compares the product's whole work with the mere writing of the same rows. The one that asks nobody leaves
// the product two cores' worth of other work: their rates say how far the whole is from the disk, and what the server
// spends on an order, claim included, how good the product's statements are.
func (l *lab) bareWrite(ctx context.Context, r *report) error {
	const name = "bare"
	us := entrant{product(), l.sizes.Product}
	same := entrant{peerNamed("bare: orders, ledger, events", "bare-events", nil), l.sizes.Bare}
	fewer := entrant{peerNamed("bare: orders, ledger", "bare", nil), l.sizes.Bare}
	for round := range l.sizes.Rounds {
		for _, e := range inTurn(round, []entrant{us, same, fewer}) {
			one, err := l.try(ctx, trial{who: e.contestant, round: round, orders: e.orders, concurrency: usualConcurrency}, nil)
			if err != nil {
				return err
			}
			r.note(name, one)
		}
	}
	add := func(to entrant, wanted goal) {
		r.add(name, "the drain's orders/s to "+to.name, ratio(r.of(name, us.name, rate), r.of(name, to.name, rate)), "×", goal{})
		r.add(name, "Postgres CPU of "+to.name+" to the drain's", ratio(r.of(name, to.name, serverCPU), r.of(name, us.name, serverCPU)), "×", wanted)
	}
	add(same, atLeast(0.6))
	add(fewer, goal{})
	return nil
}
