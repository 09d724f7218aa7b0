package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// job is one order of River's queue. It carries what the question needs, so that the worker need
// not read it again.
type job struct {
	Order order `json:"order"`
}

// Kind names the job's type.
func (job) Kind() string { return "reconcile" }

// worker settles an order in a transaction of its own, in which the job is completed as well where
// inTx says so.
type worker struct {
	river.WorkerDefaults[job]

	peer  *peer
	inTx  bool
	slots chan struct{} // one a question in flight
	left  atomic.Int64
	ended chan struct{} // closed when no order is left
	once  sync.Once
	err   error // the first failure, once ended is closed
}

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	err := w.settleOrder(ctx, j)
	if err != nil {
		w.endDaemon(err)
	} else if w.left.Add(-1) == 0 {
		w.endDaemon(nil)
	}
	return err
}

func (w *worker) settleOrder(ctx context.Context, j *river.Job[job]) error {
	w.slots <- struct{}{}
	a, err := w.peer.askGateway(ctx, j.Args.Order)
	<-w.slots
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, w.peer.pool, func(tx pgx.Tx) error {
		if err := w.peer.bookOrder(ctx, tx, a); err != nil || !w.inTx {
			return err
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, j)
		return err
	})
}

func (w *worker) endDaemon(err error) {
	w.once.Do(func() {
		w.err = err
		close(w.ended)
	})
}

// runRiver works the jobs off with the fastest settings that are honest: it looks for jobs as often
// as River allows, has more workers than questions may be in flight, so that those fetched wait and
// not the gateway, and lets River complete jobs in batches unless inTx asks for the stronger
// promise, the job completed with its order or not at all.
func (p *peer) runRiver(ctx context.Context, inTx bool) (summary, error) {
	w := &worker{peer: p, inTx: inTx, slots: make(chan struct{}, p.concurrency), ended: make(chan struct{})}
	w.left.Store(int64(p.orders))
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	client, err := river.NewClient(riverpgxv5.New(p.pool), &river.Config{
		FetchCooldown:     river.FetchCooldownMin,
		FetchPollInterval: 5 * time.Millisecond,
		Logger:            slog.New(slog.DiscardHandler),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4 * p.concurrency}},
		Workers:           workers,
	})
	if err != nil {
		return summary{}, fmt.Errorf("river: %w", err)
	}
	began := time.Now()
	if err := client.Start(ctx); err != nil {
		return summary{}, fmt.Errorf("start river: %w", err)
	}
	select {
	case <-w.ended:
	case <-ctx.Done():
		return summary{}, ctx.Err()
	}
	result := summary{Settled: p.orders, Seconds: time.Since(began).Seconds()}
	if err := client.Stop(ctx); err != nil { // completes what is still to be completed
		return result, fmt.Errorf("stop river: %w", err)
	}
	return result, w.err
}

// queueJobs makes River's tables and a job for each order, before the clock starts.
func queueJobs(ctx context.Context, db *database) error {
	pool, err := pgxpool.New(ctx, db.url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return fmt.Errorf("river's schema: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("river's schema: %w", err)
	}
	rows, err := pool.Query(ctx, "SELECT id, mid, tid, inst_mid, mer_order_id, order_amount FROM orders ORDER BY next_query_at, id")
	if err != nil {
		return fmt.Errorf("select orders: %w", err)
	}
	orders, err := pgx.CollectRows(rows, pgx.RowToStructByName[order])
	if err != nil {
		return fmt.Errorf("select orders: %w", err)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return fmt.Errorf("river: %w", err)
	}
	jobs := make([]river.InsertManyParams, len(orders))
	for i, o := range orders {
		jobs[i].Args = job{o}
	}
	if _, err := client.InsertManyFast(ctx, jobs); err != nil {
		return fmt.Errorf("queue jobs: %w", err)
	}
	_, err = pool.Exec(ctx, "VACUUM (ANALYZE) river_job")
	return err
}
