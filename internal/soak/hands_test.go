package soak_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"reconciler/internal/order"
)

// Other programs write to the same rows. Whatever they do, the reconciler may not settle wrongly,
// twice without a mark, or stand still.

// lockTimeout is how long another program waits for a row. Without it a long lock would stop the
// driver.
const lockTimeout = 100 * time.Millisecond

// hand is a statement of another program's. Locks, triggers and keys that are taken are its own
// trouble.
func (w *world) hand(pool *pgxpool.Pool, sql string, args ...any) {
	w.t.Helper()
	_, err := pool.Exec(context.Background(), sql, args...)
	var pgErr *pgconn.PgError
	ordinary := []string{"55P03", "40P01", "P0001", "23505"}
	if err != nil && (!errors.As(err, &pgErr) || !slices.Contains(ordinary, pgErr.Code)) {
		w.t.Errorf("%s: %v", sql, err)
	}
}

// ownColumns are those that an application would map that knows nothing of ours.
const ownColumns = `mid, tid, mer_order_id, target_order_id, order_amount, created_at, expires_at, status,
	total_amount, refund_amount, pay_time, next_query_at, review_reason, review_note`

// saveStaleCopy saves a whole row as somebody once read it: its own columns as a rule, and all of
// them where the ORM was given the whole table.
func (w *world) saveStaleCopy() {
	id := w.someID()
	versions := rows(w.t, w.db.clock, pgx.RowTo[int64], `SELECT seq FROM soak_history WHERE id = $1 AND (n).id IS NOT NULL ORDER BY seq`, id)
	if len(versions) == 0 {
		return
	}
	columns := pick(w.rand, ownColumns, ownColumns, ownColumns, w.db.columns)
	w.hand(w.db.orm, `UPDATE orders SET (`+columns+`) = (SELECT `+columns+` FROM (SELECT (n).* FROM soak_history WHERE seq = $2) AS stale)
		WHERE id = $1`, id, pick(w.rand, versions...))
}

// saveUnknown writes UNKNOWN over a settled order, most of all over one that the reconciler
// settled.
func (w *world) saveUnknown() {
	w.hand(w.db.orm, `UPDATE orders SET status = 'UNKNOWN', next_query_at = $1
		WHERE id = (SELECT id FROM orders WHERE status LIKE 'TRADE%' ORDER BY settled_at IS NULL, id % $2, id LIMIT 1)`,
		pick(w.rand, nil, &[]time.Time{time.Now()}[0]), 1+w.rand.IntN(50))
}

// saveNulls writes what only others write: no due time, and an empty review.
func (w *world) saveNulls() {
	w.hand(w.db.orm, `UPDATE orders SET next_query_at = NULL, review_reason = CASE WHEN $2 THEN '' ELSE review_reason END
		WHERE id = $1 AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')`, w.someID(), w.rand.IntN(2) == 0)
}

// clearReview forgets the due time, or leaves an empty text behind.
func (w *world) clearReview() {
	w.hand(w.db.person, `UPDATE orders SET review_reason = $2
		WHERE review_reason IS NOT NULL AND status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY') AND id % 3 = $1`,
		w.rand.IntN(3), pick(w.rand, nil, &[]string{""}[0]))
}

// correctWrongly changes what a decision is made from, of an order that is asked about if there is
// one. The numbers get a letter too many.
func (w *world) correctWrongly() {
	change := pick(w.rand,
		`order_amount = order_amount + 150`,
		`mid = '898340149000005'`,
		`mer_order_id = substr(mer_order_id, 1, 12) || 'X'`,
		`target_order_id = substr(target_order_id, 1, 12) || 'X'`,
		`expires_at = expires_at + interval '1 hour'`)
	w.hand(w.db.person, `UPDATE orders SET `+change+`
		WHERE id = (SELECT id FROM orders WHERE status IN ('UNKNOWN', 'NEW_ORDER', 'WAIT_BUYER_PAY')
			ORDER BY lease_until IS NULL, id % $1, id LIMIT 1)`, 1+w.rand.IntN(50))
}

// correctRightly brings back what the script says, of some orders or of all, and returns how many it
// could not: somebody has them locked.
func (w *world) correctRightly(most int) (left int) {
	var ids, amounts []int64
	var mids []string
	var mers, targets []*string
	for i, s := range w.scripts {
		mer, target := s.numbers()
		ids, amounts, mids = append(ids, int64(i+1)), append(amounts, s.amount), append(mids, s.mid)
		mers, targets = append(mers, mer), append(targets, target)
	}
	const wrong = `
			SELECT o.id FROM orders AS o JOIN unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS s(id, mid, amount, mer, target) ON o.id = s.id
			WHERE (o.mid, o.order_amount, coalesce(s.mer, o.mer_order_id), coalesce(s.target, o.target_order_id))
				IS DISTINCT FROM (s.mid, s.amount, o.mer_order_id, o.target_order_id)`
	const sql = `
		UPDATE orders AS o SET mid = s.mid, order_amount = s.amount,
			mer_order_id = coalesce(s.mer, o.mer_order_id), target_order_id = coalesce(s.target, o.target_order_id)
		FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS s(id, mid, amount, mer, target)
		WHERE o.id = s.id AND o.id IN (` + wrong + ` ORDER BY o.id LIMIT $6 FOR UPDATE OF o SKIP LOCKED)`
	w.hand(w.db.person, sql, ids, mids, amounts, mers, targets, most)
	return len(rows(w.t, w.db.clock, pgx.RowTo[int64], wrong, ids, mids, amounts, mers, targets))
}

// lockRows holds some orders for a while, which may be as long as the round: others may not wait
// for them.
func (w *world) lockRows() {
	length := time.Duration(w.rand.Int64N(int64(chaosTime)))
	modulus, status := 5+w.rand.IntN(20), pick(w.rand, "", "TRADE_SUCCESS")
	w.byHand.Go(func() {
		ctx := context.Background()
		err := pgx.BeginFunc(ctx, w.db.application, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT id FROM orders WHERE id % $1 = 0 FOR UPDATE SKIP LOCKED`, modulus)
			sleep(w.chaosOver, length)
			if err == nil && status != "" {
				_, err = tx.Exec(ctx, `UPDATE orders SET status = $2 WHERE id = (SELECT id FROM orders WHERE id % $1 = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)`,
					modulus, order.Status(status))
			}
			return err
		})
		if err != nil {
			w.t.Errorf("long lock: %v", err)
		}
	})
}

// clockSteps sets the database's clock back by hours: what it wrote before lies as far ahead.
func (w *world) clockSteps() {
	for _, sql := range []string{
		`UPDATE gateway_budgets SET refilled_at = refilled_at + interval '3 hours'`,
		`UPDATE gateway_controls SET paused_until = paused_until + interval '3 hours', probe_until = probe_until + interval '3 hours' WHERE set_by = 'breaker'`,
		`UPDATE orders SET lease_until = lease_until + interval '3 hours'
			WHERE id IN (SELECT id FROM orders WHERE lease_until > now() ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED)`,
	} {
		w.hand(w.db.clock, sql)
	}
}
