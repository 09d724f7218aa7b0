package store_test

import (
	"strings"
	"testing"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// A publication of updates needs to tell rows apart. Where it cannot, no row of the table or of its
// parent can be updated, so no single row is to blame.
func TestPublicationWithoutIdentityIsNoRowsFault(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ publish, mend string }{
		"of orders": {
			`ALTER TABLE orders REPLICA IDENTITY NOTHING; CREATE PUBLICATION shop FOR TABLE orders`,
			`ALTER TABLE orders REPLICA IDENTITY DEFAULT`,
		},
		"of a child without a key": {
			`CREATE TABLE orders_archive () INHERITS (orders); CREATE PUBLICATION shop FOR TABLE orders_archive`,
			`ALTER TABLE orders_archive REPLICA IDENTITY FULL`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.insert(t, 4)
			orders := d.claim(t, 2)
			group := []order.Outcome{settled(orders[0]), settled(orders[1])}
			d.exec(t, tt.publish)
			_, recordErr := d.Record(t.Context(), group)
			_, claimErr := d.Claim(t.Context(), store.Claim{Limit: 2, Lease: time.Minute})
			for what, err := range map[string]error{"a write": recordErr, "a claim": claimErr} {
				if err == nil || !strings.Contains(err.Error(), "REPLICA IDENTITY") || store.FailureReason(err) != "refused" {
					t.Errorf("%s: %v (%s)", what, err, store.FailureReason(err))
				}
			}
			d.exec(t, tt.mend)
			d.record(t, group...)
			if n := len(d.claim(t, 4)); n != 2 {
				t.Errorf("%d orders can be claimed, want 2", n)
			}
		})
	}
}
