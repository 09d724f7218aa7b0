package store

import (
	"context"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

func (s *Store) runClaim(ctx context.Context, plan claimPlan) (why claimedRow, orders []order.Order, err error) {
	var list []claimedRow
	if plan.lately {
		err = s.pool.inTx(ctx, pgx.TxOptions{BeginQuery: beginLately}, func(tx pgx.Tx) (err error) {
			list, err = collectRows[claimedRow](ctx, tx, plan.text, plan.args)
			return err
		})
	} else {
		list, err = collectRows[claimedRow](ctx, s.pool, plan.text, plan.args)
	}
	if err != nil || len(list) == 0 {
		return claimedRow{}, nil, err
	}
	if list[0].ID == 0 {
		return list[0], nil, nil
	}
	orders = make([]order.Order, len(list))
	for i := range list {
		orders[i] = list[i].Order
	}
	return list[0], orders, nil
}

// claimPlan is a statement and its arguments.
type claimPlan struct {
	text   string
	args   pgx.NamedArgs
	lately bool // to be planned by [beginLately]
}

// beginLately lets the planner follow the due times. By its statistics few orders are open, and it
// would rather read all of another index and sort: where settled orders cannot be vacuumed, that is
// every entry that they left. The higher costs must not compile the statement either. The mark
// keeps it from a plan that was made without. A process that is stopped before its commit must not
// keep the budget's row locked: no instance could claim meanwhile.
const (
	beginLately = "BEGIN; SET LOCAL enable_sort = off; SET LOCAL jit = off" +
		"; SET LOCAL idle_in_transaction_session_timeout = '10s'"
	latelyMark = "\n-- what became due lately"
)
