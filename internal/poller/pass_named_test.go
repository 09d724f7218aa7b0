package poller

import (
	"context"
	"testing"

	"reconciler/internal/store"
)

// lookedAt is the real store, and counts the named orders that statements look at.
type lookedAt struct {
	*store.Store

	ids *int
}

func (s lookedAt) Claim(ctx context.Context, c store.Claim) (store.Page, error) {
	*s.ids += len(c.Selection.IDs)
	return s.Store.Claim(ctx, c)
}

func (s lookedAt) Peek(ctx context.Context, c store.Claim) (store.Page, error) {
	*s.ids += len(c.Selection.IDs)
	return s.Store.Peek(ctx, c)
}

// A long list is gone through in parts: its orders are found wherever they stand in it, a suspect
// too, and no claim looks at all of it again.
func TestALongListIsAskedInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const list, last = 20 * namedPerClaim, 20
	for i := range last {
		w.add(t, i, isPaidStep)
		w.exec(t, `SELECT setval('orders_id_seq', (SELECT max(id) FROM orders) + $1)`, list/last)
	}
	w.exec(t, `UPDATE orders SET unrecorded_claims = 2 WHERE mer_order_id = $1`, mer(last-2))
	ids := make([]int64, 0, list+last)
	for id := range cap(ids) {
		ids = append(ids, int64(cap(ids)-id))
	}
	for _, dry := range []bool{true, false} {
		looked := 0
		p := w.poller(t, into(lookedAt{w.Store, &looked}), workers(1))
		s := sweep(t, p, Run{Once: true, Selection: &store.Selection{IDs: ids}, DryRun: dry})
		if s.Asked != last || s.ByStatus["TRADE_SUCCESS"] != last {
			t.Errorf("dry %t: a run asked about %d orders, want %d: %v", dry, s.Asked, last, s.ByStatus)
		}
		// The whole list is looked at when a round of it begins. There are two, and one that ends.
		if most := 5*list + 2*last*namedPerClaim; looked > most {
			t.Errorf("dry %t: statements looked at %d named orders of %d, want at most %d", dry, looked, list, most)
		}
	}
}
