package main

import "context"

// compareBuilds drains the same backlog by this build and by another, in turns. Without another
// build it does nothing.
func (l *lab) compareBuilds(ctx context.Context, r *report) error {
	if l.before == "" {
		return nil
	}
	const name = "before"
	earlier := *l
	earlier.product, earlier.template = l.before, "bench_before"
	if err := earlier.makeTemplate(ctx); err != nil {
		return err
	}
	now, then := productEntrant(), productEntrant()
	then.name = "the other build"
	for round := range l.sizes.Rounds {
		labs := map[string]*lab{now.name: l, then.name: &earlier}
		for _, who := range inTurn(round, []contestant{now, then}) {
			one, err := labs[who.name].tryOnce(ctx, trial{who: who, round: round, orders: l.sizes.Product, concurrency: usualConcurrency}, nil)
			if err != nil {
				return err
			}
			r.addNote(name, one)
		}
	}
	to := func(measure func(trialResult) float64) float64 {
		return ratioOf(r.linesOf(name, now.name, measure), r.linesOf(name, then.name, measure))
	}
	r.addLine(name, "orders/s to the other build", to(perSecond), "×", atLeast(0.97))
	r.addLine(name, "Go CPU to the other build", to(goCPU), "×", goal{})
	r.addLine(name, "Postgres CPU to the other build", to(serverCPU), "×", goal{})
	r.addLine(name, "WAL to the other build", to(walPerOrder), "×", goal{})
	return nil
}
