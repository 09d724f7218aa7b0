package store

import (
	"context"

	"reconciler/internal/order"
)

// claimAppProbe claims the one probe of an app. It is about another merchant than that of the
// question that failed last, or else about another order, or else about whatever is due.
//
// Merchants that hang may have all that is longest due. So a merchant that was answered lately comes
// first, and half of the other probes are about what has just become due.
func (s *Store) claimAppProbe(ctx context.Context, c Claim, why claimedRow) (claimedRow, []order.Order, error) {
	c.Limit, c.Lanes, c.From, c.LimitedMIDs = 1, false, Cursor{}, nil
	another := c
	another.ExceptIDs = append([]int64{why.FailedOrderID}, c.ExceptIDs...)
	elsewhere := another
	elsewhere.PausedMIDs = append([]string{why.FailedMID}, c.PausedMIDs...)
	tries := []claimPlan{elsewhere.plan(), another.plan(), c.plan(), c.probesPlan()}
	tries[0].args["max_recent"] = 1
	if answered := s.answeredLately(ctx, c); len(answered) > 0 {
		elsewhere.MIDs, elsewhere.Round = answered, Round{}
		tries = append([]claimPlan{elsewhere.plan()}, tries...)
	}
	for _, plan := range tries {
		plan.args["app_probe"] = true
		now, orders, err := s.runClaim(ctx, plan)
		if err != nil || len(orders) > 0 || !now.AppLocked {
			return now, orders, err
		}
		why = now
	}
	return why, nil, nil
}

// answeredLately lists the app's merchants whose latest question at the end of the ledger was
// answered, the last first. It lists as many as a claim looks at. After an error it lists none:
// the choice of a probe is worth no failure.
func (s *Store) answeredLately(ctx context.Context, c Claim) []string {
	ctx, cancel := context.WithTimeout(ctx, s.maxAlone)
	defer cancel()
	answered, err := collectRows[string](ctx, s.pool, `
		SELECT latest.mid FROM (
		    SELECT DISTINCT ON (o.mid) o.mid, q.id, `+isProperAnswer("q")+` AND q.round_trips > 0 AS answered
		    FROM (SELECT q.* FROM order_queries AS q ORDER BY q.id DESC LIMIT 1000) AS q
		    JOIN orders AS o ON o.id = q.order_id
		    WHERE coalesce(o.mid = ANY ($1), true) AND coalesce(o.mid <> ALL ($2), true)
		    ORDER BY o.mid, q.id DESC
		) AS latest WHERE latest.answered ORDER BY latest.id DESC LIMIT $3`, c.MIDs, c.ExceptMIDs, merchantWindow)
	if err != nil {
		return nil
	}
	return answered
}

// claimMerchantProbes adds the probes of merchants. The orders had left room for one.
func (s *Store) claimMerchantProbes(ctx context.Context, c Claim, orders []order.Order) ([]order.Order, error) {
	probes := c
	probes.Limit = max(1, c.Limit-len(orders))
	if c.Limit-len(orders) > 0 {
		_, probed, err := s.runClaim(ctx, probes.probesPlan())
		if err != nil || len(probed) > 0 || len(orders) > 0 {
			return append(orders, probed...), err
		}
	}
	if len(orders) > 0 {
		return orders, nil
	}
	plan := c.plan() // nothing to probe: the room is not needed
	plan.args["keep_room"] = false
	_, orders, err := s.runClaim(ctx, plan)
	return orders, err
}
