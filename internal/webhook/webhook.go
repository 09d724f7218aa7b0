// Package webhook delivers order_events to the application by HTTP.
//
// Each event is a POST that is signed by the Standard Webhooks scheme. An answer of the 2xx class
// ends it; anything else is tried again, and after three days the event is set aside.
//
// # How events become deliveries
//
// The consumer "webhook" reads events by its cursor and turns each into a row of
// webhook_deliveries, in the transaction that acknowledges it. From then on the rows are the queue.
// So an event that the application does not accept holds up nothing but later events of its own
// order. What was sent survives any crash. A process that dies between a sending and its record
// sends again: delivery is at least once.
//
// # Who delivers
//
// One instance holds a lease of 30 s in the row of the consumer and renews it every 10 s. Others
// ask for it every 10 s, so one takes over within a minute. A process that was stopped, and wakes
// up when its lease is over, sends nothing more: it looks at the lease before each request.
//
// # Slow and failing receivers
//
// Up to 16 requests are in flight, each about another order. At most half of them are repetitions,
// so that new events pass beside those that fail or hang.
package webhook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v4"

	"reconciler/internal/store"
)

const (
	maxInFlight = 16
	maxRetried  = maxInFlight / 2
	// maxEnlisted bounds one reading of events.
	maxEnlisted = 500
	// recordPatience is how long a record is tried; a stop has to fit into 30 s.
	recordPatience = 10 * time.Second
	// releaseWithin bounds the last statement of a stop.
	releaseWithin = 3 * time.Second
)

// Result is what became of one sending, as a metric counts it.
type Result string

// The results.
const (
	Delivered Result = "delivered"
	Failed    Result = "failed"    // it is tried again
	SetAside  Result = "set_aside" // it was the last attempt
)

// Results lists them all.
func Results() []Result { return []Result{Delivered, Failed, SetAside} }

// Options say where to deliver and how. Zero durations take the defaults.
type Options struct {
	Store  *store.Store
	URL    string // see [CheckURL]
	Secret string // see [CheckSecret]
	Worker string // the instance's name, never used again
	Logger *slog.Logger
	// Observe is told of each sending.
	Observe func(Result)
	// Now is the clock of the signatures and of the lease's end.
	Now func() time.Time

	Timeout time.Duration // of one request, 10 s
	Lease   time.Duration // 30 s
	Poll    time.Duration // between two looks for new events, 1 s
}

// Deliverer delivers until it is stopped. Its Run owns all its goroutines.
type Deliverer struct {
	options Options
	sender  *sender
	sending trouble
	reading trouble

	heldUntil  time.Time     // by Options.Now
	enlistFrom time.Time     // when to look for new events again
	inFlight   map[int64]int // by order: the attempts before this one
	ended      chan ending
}

// New fails on a secret that cannot be used.
func New(o Options) (*Deliverer, error) {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(Result) {}
	}
	sender, err := newSender(o)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return &Deliverer{
		options: o,
		sender:  sender,
		sending: trouble{logger: o.Logger, now: o.Now, begins: "webhook fails", ends: "webhook delivers again"},
		reading: trouble{logger: o.Logger, now: o.Now, begins: "webhook cannot read events", ends: "webhook reads events again"},

		inFlight: make(map[int64]int),
		ended:    make(chan ending, maxInFlight),
	}, nil
}

// Run delivers until ctx ends. Then it waits for the requests in flight, writes what became of them
// and lets another instance deliver.
func (d *Deliverer) Run(ctx context.Context) {
	defer d.sender.client.CloseIdleConnections()
	for ctx.Err() == nil {
		held, err := d.holdLease(ctx)
		if held {
			err = d.deliverDue(ctx)
		}
		switch {
		case err == nil:
			d.reading.noteSuccess(ctx)
		case ctx.Err() == nil:
			d.reading.noteFailure(ctx, slog.Any("error", err))
		}
		d.sending.endIfOver(ctx)
		wait := d.options.Poll
		if !held {
			wait = d.options.Lease / 3
		}
		d.awaitEnding(ctx, wait)
	}
	for len(d.inFlight) > 0 {
		d.finishSending(ctx, <-d.ended)
	}
	d.releaseLease(ctx)
}

// holdLease renews the lease when a third of it is over.
func (d *Deliverer) holdLease(ctx context.Context) (bool, error) {
	now := d.options.Now()
	if now.Add(d.options.Lease * 2 / 3).Before(d.heldUntil) {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.options.Lease/3)
	defer cancel()
	held, err := d.options.Store.HoldDeliveries(ctx, d.options.Worker, d.options.Lease)
	if held {
		d.heldUntil = now.Add(d.options.Lease) // from before the statement
	}
	return held, err
}

func (d *Deliverer) releaseLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
	defer cancel()
	if err := d.options.Store.ReleaseDeliveries(ctx, d.options.Worker); err != nil {
		d.options.Logger.LogAttrs(ctx, slog.LevelWarn, "webhook not released, another instance waits for its lease", slog.Any("error", err))
	}
}

// deliverDue enlists new events and begins as many sendings as there is room for.
func (d *Deliverer) deliverDue(ctx context.Context) error {
	if now := d.options.Now(); !now.Before(d.enlistFrom) {
		n, err := d.options.Store.EnlistDeliveries(ctx, d.options.Worker, maxEnlisted)
		if err != nil {
			return err
		}
		if n < maxEnlisted {
			d.enlistFrom = now.Add(d.options.Poll)
		}
	}
	busy, retried := make([]int64, 0, len(d.inFlight)), 0
	for order, attempts := range d.inFlight {
		busy = append(busy, order)
		retried += min(attempts, 1)
	}
	room := maxInFlight - len(busy)
	if room == 0 {
		return nil
	}
	due, err := d.options.Store.DueDeliveries(ctx, min(room, maxInFlight-maxRetried), min(room, maxRetried-retried), busy)
	if err != nil {
		return err
	}
	for _, delivery := range due[:min(room, len(due))] {
		d.inFlight[delivery.OrderID] = delivery.Attempts
		go func(heldUntil time.Time) { d.ended <- d.deliverOnce(ctx, delivery, heldUntil) }(d.heldUntil)
	}
	return nil
}

// ending is the end of a goroutine that was to send.
type ending struct {
	store.Attempt

	sent bool
}

// deliverOnce sends once and writes what became of it, also when ctx ends meanwhile.
func (d *Deliverer) deliverOnce(ctx context.Context, delivery store.Delivery, heldUntil time.Time) ending {
	began := d.options.Now()
	if ctx.Err() != nil || !began.Before(heldUntil) || !began.Round(0).Before(heldUntil.Round(0)) {
		return ending{Attempt: store.Attempt{Delivery: delivery}} // stopped for so long that another may deliver
	}
	ctx = context.WithoutCancel(ctx)
	attempt := d.sender.sendOnce(ctx, delivery)
	if !attempt.Delivered {
		attempt.RetryAfter = retryWait(delivery.Attempts+1, delivery.PendingFor+d.options.Now().Sub(began))
	}
	patience := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxElapsedTime(recordPatience))
	record := func() error {
		ctx, cancel := context.WithTimeout(ctx, recordPatience)
		defer cancel()
		return d.options.Store.RecordAttempt(ctx, attempt)
	}
	if err := backoff.Retry(record, patience); err != nil {
		d.options.Logger.LogAttrs(ctx, slog.LevelError, "webhook attempt not recorded, the event may be sent again",
			slog.Int64("event_id", delivery.EventID), slog.Any("error", err))
	}
	return ending{attempt, true}
}

// awaitEnding waits for the end of some sendings, or until the next look.
func (d *Deliverer) awaitEnding(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	case e := <-d.ended:
		d.finishSending(ctx, e)
	}
	for {
		select {
		case e := <-d.ended:
			d.finishSending(ctx, e)
		default:
			return
		}
	}
}

// finishSending counts and logs what became of a sending.
func (d *Deliverer) finishSending(ctx context.Context, e ending) {
	delete(d.inFlight, e.OrderID)
	attrs := []slog.Attr{
		slog.Int64("event_id", e.EventID), slog.Int64("order_id", e.OrderID), slog.Int("attempts", e.Attempts+1),
	}
	if e.Status != 0 {
		attrs = append(attrs, slog.Int("status", e.Status)) // the answer's text is in the table
	} else {
		attrs = append(attrs, slog.String("error", e.Answer))
	}
	switch {
	case !e.sent:
	case e.Delivered:
		d.options.Observe(Delivered)
		d.sending.noteSuccess(ctx)
	case e.RetryAfter == 0:
		d.options.Observe(SetAside)
		d.options.Logger.LogAttrs(ctx, slog.LevelError, "webhook event set aside", attrs...)
	default:
		d.options.Observe(Failed)
		d.sending.noteFailure(ctx, attrs...)
	}
}
