package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// contestant is who works a backlog off.
type contestant struct {
	name    string
	prepare func(ctx context.Context, db *database) error // before the clock starts; nil is nothing
	command func(l *lab, t trial, database, gateway string) command
}

// trial is one run of a contestant.
type trial struct {
	who         contestant
	round       int
	orders      int
	latency     time.Duration // of the gateway
	concurrency int
	processes   int  // at once; 0 is one
	simulator   bool // as the gateway
	counted     bool // count round trips instead of measuring time
	merchants   int  // whose orders they are; 0 is one
}

// trialResult is the cost of a trial.
type trialResult struct {
	Workload    string  `json:"workload"`
	Who         string  `json:"who"`
	Round       int     `json:"round"`
	Orders      int     `json:"orders"`
	LatencyMS   float64 `json:"latency_ms"`
	Concurrency int     `json:"concurrency"`
	Processes   int     `json:"processes"`

	Rate       float64 `json:"orders_per_second"` // by the slowest process's own clock
	Wall       float64 `json:"wall_seconds"`      // from the first start to the last exit
	GoCPU      float64 `json:"go_cpu_seconds_per_1000"`
	ServerCPU  float64 `json:"postgres_cpu_seconds_per_1000"`
	GatewayCPU float64 `json:"gateway_cpu_seconds_per_1000"`
	Commits    float64 `json:"commits_per_order"`
	RoundTrips float64 `json:"round_trips_per_order,omitempty"`
	WAL        float64 `json:"wal_bytes_per_order"`
	PeakMB     float64 `json:"peak_mb"` // of the largest process
	Deadlocks  int64   `json:"deadlocks"`
}

func productEntrant() contestant {
	return contestant{name: "reconciler", command: func(l *lab, t trial, database, gateway string) command {
		return command{path: l.product, args: []string{"run-once", "--output", "json"}, env: productEnv(t.concurrency, database, gateway)}
	}}
}

func productEnv(concurrency int, database, gateway string) []string {
	return []string{
		"DATABASE_URL=" + database, "CHINAUMS_BASE_URL=" + gateway, "CHINAUMS_APP_ID=" + appID, "CHINAUMS_APP_KEY=" + appKey,
		"RECONCILER_RATE=0", "RECONCILER_CONCURRENCY=" + strconv.Itoa(concurrency),
	}
}

func peerNamed(name, kind string, prepare func(context.Context, *database) error) contestant {
	return contestant{name: name, prepare: prepare, command: func(l *lab, t trial, database, gateway string) command {
		return command{path: l.self, args: []string{
			"peer", kind, "-database", database, "-gateway", gateway,
			"-concurrency", strconv.Itoa(t.concurrency), "-orders", strconv.Itoa(t.orders),
		}}
	}}
}

func loopPeer() contestant    { return peerNamed("loop", "loop", nil) }
func riverPeer() contestant   { return peerNamed("River tuned", "river", queueJobs) }
func riverTxPeer() contestant { return peerNamed("River tx", "river-tx", queueJobs) }

// loopWithoutEvents does less than the product, as riverWithoutEvents does. No goal is about them.
func loopWithoutEvents() contestant {
	return peerNamed("loop without events", "loop"+withoutEvents, nil)
}

func riverWithoutEvents() contestant {
	return peerNamed("River tuned without events", "river"+withoutEvents, queueJobs)
}

// tryOnce lets a contestant work off a backlog of its own. Before the database goes,
// inspect looks at it.
func (l *lab) tryOnce(ctx context.Context, t trial, inspect func(context.Context, *database) error) (trialResult, error) {
	l.logProgress("%s: %d orders, %v, %d in flight", t.who.name, t.orders, t.latency, t.concurrency)
	db, err := l.loadDatabase(ctx, dueOrdersOf(max(1, t.merchants), 0, 1, t.orders))
	if err != nil {
		return trialResult{}, err
	}
	r, err := l.tryOn(ctx, db, t)
	if err == nil {
		err = db.checkOutcome(ctx, t.orders)
	}
	if err == nil && inspect != nil {
		err = inspect(ctx, db)
	}
	if err = errors.Join(err, db.dropDatabase(ctx)); err != nil {
		return r, fmt.Errorf("%s: %w", t.who.name, err)
	}
	return r, nil
}

// tryOn is a trial on a database that is loaded.
func (l *lab) tryOn(ctx context.Context, db *database, t trial) (trialResult, error) {
	if t.who.prepare != nil {
		if err := t.who.prepare(ctx, db); err != nil {
			return trialResult{}, err
		}
	}
	startGateway := l.startReplay
	if t.simulator || l.simulator {
		startGateway = l.startSimulator
	}
	gateway, err := startGateway(ctx, t.latency)
	if err != nil {
		return trialResult{}, err
	}
	r, err := l.runPeer(ctx, db, t, gateway.url)
	spent, stopErr := gateway.stopChild()
	r.GatewayCPU = perThousand(spent.cpu, t.orders)
	return r, errors.Join(err, stopErr)
}

// runPeer measures the contestant's processes from the first start to the last exit.
func (l *lab) runPeer(ctx context.Context, db *database, t trial, gateway string) (trialResult, error) {
	url, counter := db.url, (*counter)(nil)
	if t.counted {
		var err error
		if url, counter, err = l.countBytes(db); err != nil {
			return trialResult{}, err
		}
		defer func() { _ = counter.closeCounter() }()
	}
	before, err := db.readMeter(ctx)
	if err != nil {
		return trialResult{}, err
	}
	began := time.Now()
	ran, err := l.runAll(ctx, t.who.command(l, t, url, gateway), max(1, t.processes))
	if err != nil {
		return trialResult{}, err
	}
	wall := time.Since(began)
	after, err := db.readMeter(ctx)
	if err != nil {
		return trialResult{}, err
	}
	r, err := t.trialResult(ran, after.differenceTo(before))
	r.Wall = wall.Seconds()
	if counter != nil {
		r.RoundTrips = float64(counter.totalBytes()) / float64(t.orders)
	}
	return r, err
}

// ran is a process that has ended.
type ran struct {
	usage

	summary summary
}

// runAll runs a number of equal processes at once.
func (l *lab) runAll(ctx context.Context, c command, processes int) ([]ran, error) {
	children := make([]*child, 0, processes)
	var errs []error
	for range processes {
		ch, err := startChild(ctx, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		children = append(children, ch)
	}
	var all []ran
	for _, ch := range children {
		spent, err := ch.waitForEnd()
		r := ran{usage: spent}
		if err == nil {
			err = json.Unmarshal(ch.stdout.readBytes(), &r.summary)
		}
		errs = append(errs, err)
		all = append(all, r)
	}
	return all, errors.Join(append(errs, context.Cause(ctx))...)
}

// trialResult puts together what the processes and the server have spent.
func (t trial) trialResult(all []ran, server reading) (trialResult, error) {
	orders := float64(t.orders)
	r := trialResult{
		Who: t.who.name, Round: t.round, Orders: t.orders, LatencyMS: float64(t.latency) / float64(time.Millisecond),
		Concurrency: t.concurrency, Processes: len(all),
		ServerCPU: perThousand(server.cpu, t.orders), Commits: float64(server.commits) / orders,
		WAL: float64(server.wal) / orders, Deadlocks: server.deadlocks,
	}
	settled, seconds := 0, 0.0
	for _, one := range all {
		settled += one.summary.Settled
		seconds = max(seconds, one.summary.Seconds)
		r.GoCPU += perThousand(one.cpu, t.orders)
		r.PeakMB = max(r.PeakMB, float64(one.peak)/(1<<20))
	}
	if settled != t.orders || seconds <= 0 {
		return r, fmt.Errorf("settled %d of %d orders in %.3f s, by its own word", settled, t.orders, seconds)
	}
	r.Rate = orders / seconds
	return r, nil
}

func perThousand(d time.Duration, orders int) float64 { return d.Seconds() * 1000 / float64(orders) }
