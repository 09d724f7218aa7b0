package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store/arrays"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// RecordState tells what became of one outcome of a group.
type RecordState int

// The states.
const (
	Written RecordState = iota
	// Locked: another session holds the row, or a lock that its write needs. The outcome can be
	// written later.
	Locked
	// Refused: the database refused the write of this row alone, for example by a trigger that
	// raises. Recorded.Err says why.
	Refused
	// Dropped: a trigger returned NULL. The write vanished although its guard holds.
	Dropped
	// Unshown: the ledger has a conflict, but the settled order could not be given its review.
	Unshown
)

// Recorded is an outcome and what became of it.
type Recorded struct {
	Outcome order.Outcome // as written, if it is
	State   RecordState
	Err     error // why it is not written
}

// answerWriter writes answers, and owns what is kept from one write to the next.
type answerWriter struct {
	*timeLimits

	pool  *connPool
	found *foundCache
	notes notes

	statements func() map[lockWait]string // built when first used: most programs never write an answer
	params     chan *arrays.Params        // one, for the next write
	apartUntil atomic.Int64               // the end of the time in which each is written alone; Unix nanoseconds
}

func newAnswerWriter(pool *connPool, limits *timeLimits, found *foundCache) *answerWriter {
	return &answerWriter{
		timeLimits: limits, pool: pool, found: found, params: make(chan *arrays.Params, 1),
		statements: sync.OnceValue(func() map[lockWait]string {
			return map[lockWait]string{
				usualWait: recordSQL(usualWait), hastyWait: recordSQL(hastyWait), patientWait: recordSQL(patientWait),
			}
		}),
	}
}

var errDropped = errors.New("a trigger of the database dropped the write")

// Record writes a group of outcomes and returns what became of each, in the same order. A written
// outcome is as decided. It is [order.Superseded] where the order had changed since its claim, and
// the review [order.ReviewConflict] where that change contradicts the answer.
//
// A group is usually one statement: one commit for orders, ledger and events. If the database
// refuses the group because of one of its rows, each outcome is written alone. One whose values are
// refused becomes the review [order.ReviewUnwritable]. Nobody waits for rows that others hold
// locked.
//
// An error means trouble that is not one row's, such as missing rights or a lost connection
// ([FailureReason]). Then parts of the group may be written. Writing a group again is safe: an
// outcome whose row is in the ledger already is left out.
func (s *Store) Record(ctx context.Context, group []order.Outcome) ([]Recorded, error) {
	written, err := s.answers.recordGroup(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("record answers: %w", err)
	}
	return written, nil
}

// recordGroup writes a group together, if it can, and else one by one. For a while after a slow
// trigger it does not try the first: that would take long again.
func (w *answerWriter) recordGroup(ctx context.Context, group []order.Outcome) ([]Recorded, error) {
	if time.Now().UnixNano() < w.apartUntil.Load() {
		return w.recordOneByOne(ctx, group)
	}
	together, cancel := context.WithTimeout(ctx, w.maxTogether)
	defer cancel()
	written, err := w.recordTogether(together, group, usualWait, 0)
	if err == nil || !isOfOneRow(err) && (together.Err() == nil || ctx.Err() != nil) {
		return written, err
	}
	if written, err = w.recordOneByOne(ctx, group); ctx.Err() != nil {
		w.writeApart()
	}
	return written, err
}

// recordOneByOne writes each outcome alone. It tells a trigger that hangs from a database that is
// slow: the server ends the statement while a function runs, and says so.
func (w *answerWriter) recordOneByOne(ctx context.Context, group []order.Outcome) ([]Recorded, error) {
	written := make([]Recorded, 0, len(group))
	wait := usualWait
	for _, o := range group {
		alone, err := w.recordAlone(ctx, o, wait)
		switch {
		case err == nil:
			written = append(written, alone)
			if isLockTimeout(alone.Err) {
				wait = hastyWait // many rows may be behind that lock
			}
			if sqlState(alone.Err) == queryCanceled {
				w.writeApart()
			}
		case ctx.Err() != nil && len(written) > 0:
			// The time went by: the rest is for the next try.
			written = append(written, Recorded{Outcome: o, State: Locked, Err: err})
		default:
			return nil, err
		}
	}
	return written, nil
}

// writeApart lets outcomes be written one by one for a minute.
func (w *answerWriter) writeApart() { w.apartUntil.Store(time.Now().Add(time.Minute).UnixNano()) }

func (w *answerWriter) recordAlone(ctx context.Context, o order.Outcome, wait lockWait) (Recorded, error) {
	written, err := w.recordTogether(ctx, []order.Outcome{o}, wait, w.maxAlone)
	switch {
	case err == nil:
		return written[0], nil
	case isOfOneRow(err):
		return w.recordRefused(ctx, o, nameFunction(err))
	}
	return Recorded{}, err
}

// recordRefused handles an outcome whose own write was refused.
func (w *answerWriter) recordRefused(ctx context.Context, o order.Outcome, cause error) (Recorded, error) {
	switch {
	case isLockTimeout(cause):
		return Recorded{Outcome: o, State: Locked, Err: cause}, nil
	case isValueError(cause):
		return w.recordUnwritable(ctx, o, cause)
	}
	return Recorded{Outcome: o, State: Refused, Err: cause}, nil
}

// recordTogether writes a group, all or nothing of what matches, and all or nothing of the rest. No
// statement may take longer than limit; 0: it ends with the context.
func (w *answerWriter) recordTogether(ctx context.Context, group []order.Outcome, wait lockWait, limit time.Duration) ([]Recorded, error) {
	matching, err := w.recordMatching(ctx, group, group, wait, limit)
	if err != nil {
		return nil, err
	}
	w.found.lookAgain(group)
	written := make([]Recorded, len(group))
	var stale []*Recorded
	for i := range group {
		written[i].Outcome = group[i]
		if !matching[claimOf(&group[i])] {
			stale = append(stale, &written[i])
		}
	}
	if len(stale) == 0 {
		return written, nil
	}
	begin := beginLimited(cmp.Or(limit, w.maxTogether)) + "; SET LOCAL lock_timeout = '" + string(usualWait) + "'"
	return written, w.inLimitedTx(ctx, begin, func(tx pgx.Tx) error { return w.handleStale(ctx, tx, stale) })
}

// claimKey names one claim. An order can stand twice in a group, under an old
// claim and a newer one.
type claimKey struct{ ID, ClaimNo int64 }

func claimOf(o *order.Outcome) claimKey { return claimKey{o.Order.ID, o.Order.ClaimNo} }

// recordMatching writes the outcomes whose guard holds, with the ledger rows of questions, and
// returns their claims.
func (w *answerWriter) recordMatching(ctx context.Context, group, questions []order.Outcome, wait lockWait, limit time.Duration) (matching map[claimKey]bool, err error) {
	record := func(conn *pgx.Conn) (err error) {
		matching, err = w.runRecord(ctx, conn, w.statements()[wait], group, questions)
		return err
	}
	try := func() error {
		return w.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return w.awaitCancel(c, record(c.Conn())) })
	}
	if limit > 0 {
		try = func() error {
			return w.inLimitedTx(ctx, beginLimited(limit), func(tx pgx.Tx) error { return record(tx.Conn()) })
		}
	}
	if err = try(); isCommitWait(err) {
		wait = patientWait
		err = try()
	}
	if isQueueFull(err) {
		// The server finds out what all listeners have read when it is asked how full the queue is, or when
		// a NOTIFY fits in. So a full queue would stay full.
		if _, usageErr := w.pool.Exec(ctx, "SELECT pg_notification_queue_usage()"); usageErr == nil {
			err = try()
		}
	}
	return matching, err
}

// inLimitedTx runs a transaction that begins as [beginLimited] says. It runs the deferred triggers
// under the limits of their rows, and lets the commit wait: see isCommitWait.
func (w *answerWriter) inLimitedTx(ctx context.Context, begin string, do func(pgx.Tx) error) error {
	return w.pool.inTx(ctx, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		err := do(tx)
		if err == nil {
			_, err = tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL lock_timeout = 0")
		}
		return err
	})
}

// beginLimited begins a transaction whose statements may not take longer than limit. A process that
// is stopped in the middle must not keep the rows to itself.
func beginLimited(limit time.Duration) string {
	return "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'; SELECT " + timeLimit(limit)
}

// awaitCancel returns the error of a statement once the server has ended it. Until then it holds
// the rows locked.
func (w *answerWriter) awaitCancel(c *pgxpool.Conn, err error) error {
	if err != nil && c.Conn().IsClosed() {
		select {
		case <-c.Conn().PgConn().CleanupDone():
		case <-time.After(w.maxAlone):
		}
	}
	return err
}

// runRecord runs the statement of a write.
func (w *answerWriter) runRecord(ctx context.Context, conn *pgx.Conn, sql string, group, questions []order.Outcome) (map[claimKey]bool, error) {
	p := w.takeParams()
	defer w.keepParams(p)
	arrays.Add(p, outcomeColumns(), group)
	arrays.Add(p, questionColumns(), questions)
	arrays.Add(p, eventColumns(), withEvents(group))
	claims, err := arrays.Query[claimKey](ctx, conn, p, sql)
	if err != nil {
		return nil, err
	}
	matching := make(map[claimKey]bool, len(claims))
	for _, c := range claims {
		matching[c] = true
	}
	return matching, nil
}

// maxParams is the most memory that is kept from one write to the next.
const maxParams = 4 << 20

// takeParams returns empty parameters. The memory of the last write is used again: a drain would
// otherwise ask for megabytes with each group.
func (w *answerWriter) takeParams() *arrays.Params {
	select {
	case p := <-w.params:
		p.Reset()
		return p
	default:
		return new(arrays.Params)
	}
}

func (w *answerWriter) keepParams(p *arrays.Params) {
	if p.Size() > maxParams {
		return
	}
	select {
	case w.params <- p:
	default:
	}
}
