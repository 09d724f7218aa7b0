package store

import (
	"context"
	"fmt"
	"time"

	"reconciler/internal/order"
)

// Release gives claims back that were not used: the orders are due as before, and the claims do not
// count toward poison. A claim that has been overtaken is left alone. Rows that others hold locked
// are left to the end of their lease: giving back waits for nobody.
func (s *Store) Release(ctx context.Context, orders []order.Order) error {
	if err := s.takeClaimsBack(ctx, orders, "lease_until = NULL, claimed_by = NULL,"); err != nil {
		return fmt.Errorf("release claims: %w", err)
	}
	return nil
}

// UncountClaims takes claims off the count toward poison: their answers came and could not be
// written, through no fault of the orders. Their leases go on, in nobody's name. Locked rows are
// left as they are.
func (s *Store) UncountClaims(ctx context.Context, orders []order.Order) error {
	if err := s.takeClaimsBack(ctx, orders, "claimed_by = NULL,"); err != nil {
		return fmt.Errorf("uncount claims: %w", err)
	}
	return nil
}

// takeClaimsBack takes the claims that are still ours off their orders' counts, and sets
// what else is given. A claim without a name was taken off before, and is not taken off twice.
func (s *Store) takeClaimsBack(ctx context.Context, orders []order.Order, set string) error {
	if len(orders) == 1 {
		return s.takeTogether(ctx, s.maxAlone, orders, set)
	}
	err := s.takeTogether(ctx, s.maxTogether, orders, set)
	if !isOfOneRow(err) {
		return err
	}
	var refused error
	for i := range orders { // one of the rows refuses it, for example by a trigger
		switch err := s.takeTogether(ctx, s.maxAlone, orders[i:i+1], set); {
		case isOfOneRow(err):
			refused = err
		case err != nil:
			return err
		}
	}
	return refused
}

func (s *Store) takeTogether(ctx context.Context, limit time.Duration, orders []order.Order, set string) error {
	ids, claims := make([]int64, len(orders)), make([]int64, len(orders))
	for i, o := range orders {
		ids[i], claims[i] = o.ID, o.ClaimNo
	}
	_, err := s.pool.execWithin(ctx, limit, `
		WITH free AS MATERIALIZED (
		    SELECT o.id FROM orders AS o WHERE o.id = ANY ($1::bigint[]) AND `+boundLockWait+` FOR UPDATE SKIP LOCKED
		)
		UPDATE orders AS o
		SET `+set+` unrecorded_claims = CASE WHEN o.claimed_by IS NULL THEN o.unrecorded_claims ELSE greatest(0, o.unrecorded_claims - 1) END
		FROM unnest($1::bigint[], $2::bigint[]) AS r(id, claim_no)
		WHERE o.id = r.id AND o.claim_no = r.claim_no AND o.id IN (SELECT id FROM free)`, ids, claims)
	return err
}

// ReleaseStray gives back the claims in a worker's name that are not in its hands, and returns how
// many. The reply to such a claim was lost, for example. Claims that are given back do not count
// toward poison. No claim of the worker may be under way meanwhile. A row that refuses to be given
// back keeps its lease.
//
// It reads all queued orders and all reviews by their partial indexes, so it is for after a lost
// reply only. A closed case that was claimed by hand is in neither: its lease ends by itself.
func (s *Store) ReleaseStray(ctx context.Context, worker string, inHand []int64) (int, error) {
	n, err := s.releaseStray(ctx, s.maxTogether, worker, inHand, nil)
	if isOfOneRow(err) {
		n, err = s.releaseStrayOneByOne(ctx, worker, inHand)
	}
	if err != nil {
		return n, fmt.Errorf("release stray claims: %w", err)
	}
	return n, nil
}

func (s *Store) releaseStrayOneByOne(ctx context.Context, worker string, inHand []int64) (n int, err error) {
	ids, err := collectRows[int64](ctx, s.pool, strays, worker, nonNil(inHand), nil)
	if err != nil {
		return 0, err
	}
	return changeOneByOne(ids, func(one []int64) (int, error) { return s.releaseStray(ctx, s.maxAlone, worker, inHand, one) })
}

// changeOneByOne changes each order by a statement of its own, and returns how many it changed. It
// passes over those whose rows refuse.
func changeOneByOne(ids []int64, change func(one []int64) (int, error)) (changed int, err error) {
	for i := range ids {
		n, err := change(ids[i : i+1])
		if changed += n; err != nil && !isOfOneRow(err) {
			return changed, err
		}
	}
	return changed, nil
}

// releaseStray gives back all stray claims, or those of some orders.
func (s *Store) releaseStray(ctx context.Context, limit time.Duration, worker string, inHand, ids []int64) (int, error) {
	tag, err := s.pool.execWithin(ctx, limit, `
		WITH stray AS MATERIALIZED (
		    SELECT o.id FROM orders AS o WHERE o.id = ANY (ARRAY(`+strays+`)) AND `+isStray+` AND `+boundLockWait+`
		    FOR UPDATE SKIP LOCKED
		)
		UPDATE orders AS o
		SET lease_until = NULL, claimed_by = NULL, unrecorded_claims = greatest(0, o.unrecorded_claims - 1)
		WHERE o.id = ANY (ARRAY(SELECT id FROM stray)) AND o.claimed_by = $1`,
		worker, nonNil(inHand), ids)
	return int(tag.RowsAffected()), err
}

// strays are the stray claims of a worker $1 with the orders $2 in hand: all, or those of $3.
const (
	strays = `
		SELECT o.id FROM orders AS o WHERE ` + isQueued + ` AND ` + isStray + `
		UNION ALL
		SELECT o.id FROM orders AS o WHERE o.review_reason IS NOT NULL AND ` + isOpen + ` AND ` + isStray
	isStray = `o.claimed_by = $1 AND o.lease_until IS NOT NULL AND o.id <> ALL ($2::bigint[]) AND ($3::bigint[] IS NULL OR o.id = ANY ($3))`
)
