package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

// NotFoundEvidence reads the ledger for order o. Answers that carried another
// order's numbers, those that contradict themselves, and those that were no proper
// answers do not count.
func (s *Store) NotFoundEvidence(ctx context.Context, o order.Order, since time.Time) (order.Evidence, error) {
	var e order.Evidence
	err := s.pool.QueryRow(ctx, `
		SELECT count(*) FROM order_queries
		WHERE order_id = $1 AND err_code = 'NO_ORDER'
		  AND trade_status IS NULL AND `+isProperAnswer("order_queries"), o.ID).Scan(&e.NoOrders)
	if err == nil {
		e.MerchantFound, err = s.found.isFoundSince(ctx, s.pool, o.MID, since)
	}
	if err != nil {
		return order.Evidence{}, fmt.Errorf("read the ledger of order %d: %w", o.ID, err)
	}
	return e, nil
}

// isProperAnswer are the questions that brought a usable answer. The trouble of one order alone is
// a deferral, and a late answer keeps the reason that it would have had.
func isProperAnswer(table string) string {
	return strings.ReplaceAll(`(q.decision NOT IN ('no_answer', 'refused')
		  AND coalesce(q.reason, '') NOT LIKE '%`+order.ReasonUnusableAnswer+`'
		  AND coalesce(q.reason, '') NOT LIKE '%`+order.ReasonTransient+`')`, "q.", table+".")
}

// foundCache remembers when merchants last had a found answer. A merchant that has
// none makes the database read a day of the ledger to know; that must not happen
// for each of its orders.
type foundCache struct {
	looking sync.Mutex // one look-up at a time: the others want the same, mostly

	mu        sync.Mutex
	merchants map[string]foundAnswer
}

// slowLookUp is how long a look-up may take without being remembered when it finds
// nothing.
const slowLookUp = 250 * time.Millisecond

type foundAnswer struct {
	at    time.Time // zero: none
	until time.Time // when to look again, if at is not good enough
}

// isFoundSince reports whether the merchant has a found answer at or after a time.
func (c *foundCache) isFoundSince(ctx context.Context, db queryer, mid string, since time.Time) (bool, error) {
	if found, known := c.knownSince(mid, since); known {
		return found, nil
	}
	c.looking.Lock()
	defer c.looking.Unlock()
	if found, known := c.knownSince(mid, since); known {
		return found, nil
	}
	began := time.Now()
	at, err := lastFound(ctx, db, mid, since)
	if err != nil {
		return false, err
	}
	answer := foundAnswer{at: at}
	if took := time.Since(began); took > slowLookUp {
		answer.until = time.Now().Add(10 * took) // so that look-ups take a tenth of the time at most
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.merchants == nil {
		c.merchants = make(map[string]foundAnswer)
	}
	c.merchants[mid] = answer
	return !at.Before(since), nil
}

func (c *foundCache) knownSince(mid string, since time.Time) (found, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, known := c.merchants[mid]
	found = !answer.at.Before(since)
	return found, known && (found || time.Now().Before(answer.until))
}

// lookAgain forgets that a merchant of recorded outcomes had no found answer, if it has one now.
func (c *foundCache) lookAgain(recorded []order.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range recorded {
		mid := recorded[i].Order.MID
		if recorded[i].Question.TradeStatus != "" && c.merchants[mid].at.IsZero() {
			delete(c.merchants, mid)
		}
	}
}

// lastFound is the time of the merchant's latest found answer since a time, zero if
// there is none.
func lastFound(ctx context.Context, db queryer, mid string, since time.Time) (time.Time, error) {
	var at time.Time
	err := db.QueryRow(ctx, `
		SELECT q.queried_at
		FROM order_queries q
		JOIN orders o ON o.id = q.order_id
		WHERE q.trade_status IS NOT NULL
		  AND q.queried_at >= $2
		  AND o.mid = $1
		  AND q.err_code IS DISTINCT FROM 'NO_ORDER'
		  AND `+isProperAnswer("q")+`
		  AND coalesce(q.reason, '') NOT LIKE '%identity_mismatch%'
		ORDER BY q.queried_at DESC
		LIMIT 1`, mid, since).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return at, err
}
