package store

import (
	"cmp"
	"context"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

func (s *Store) runClaim(ctx context.Context, plan claimPlan) (why claimedRow, orders []order.Order, err error) {
	list, err := s.queryClaim(ctx, plan)
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

// queryClaim sends the limit of its time, the guidance and the claim together: they are one
// transaction.
func (s *Store) queryClaim(ctx context.Context, plan claimPlan) (list []claimedRow, err error) {
	settings := "SELECT " + timeLimit(cmp.Or(plan.limit, s.maxTogether))
	if plan.guided {
		settings += ", " + guidance
	}
	err = s.pool.retryStale(func() error {
		batch := new(pgx.Batch)
		batch.Queue(settings)
		batch.Queue(plan.text, plan.args).Query(func(rows pgx.Rows) (err error) {
			list, err = pgx.CollectRows(rows, pgx.RowToStructByName[claimedRow])
			return err
		})
		return s.pool.SendBatch(ctx, batch).Close()
	})
	return list, s.pool.explainError(err)
}

// claimPlan is a statement and its arguments.
type claimPlan struct {
	text   string
	args   pgx.NamedArgs
	guided bool          // to be planned by [guidance]
	limit  time.Duration // of the statement; 0: as of one about many orders
}

// guidance lets the planner follow the due times, and plan once for each connection.
//
// A claim takes one to three milliseconds to run and two or more to plan. The planner would plan
// each anew, because it knows nothing of a limit that is a parameter. A plan that is kept must be
// right for all sizes of the queue: one that was made for an empty table would read and sort a
// backlog that comes later. Nor do the statistics tell how many orders are queued: where settled
// orders cannot be vacuumed, the planner would rather read all the entries that they left. The
// higher costs of what is off must not compile the statement either.
const guidance = `set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_sort', 'off', true),
       set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`
