package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

// A database of encoding SQL_ASCII takes any bytes. An order whose texts are no UTF-8 cannot be
// read, and keeps nobody else from being asked.
func TestClaimBesideForeignBytes(t *testing.T) {
	t.Parallel()
	d := open(t)
	name := scan[string](t, d, `SELECT current_database()`)
	d.exec(t, `CREATE DATABASE `+name+`_ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`)
	url := strings.Replace(d.url, name, name+"_ascii", 1)
	t.Cleanup(func() {
		if _, err := d.conn.Exec(context.Background(), `DROP DATABASE `+name+`_ascii WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	ascii := database{Store: storetest.Open(t, url), url: url, conn: storetest.Connect(t, url)}
	_, err := ascii.MigrateUp(t.Context())
	must(t, err)
	ascii.insert(t, 5)
	ascii.exec(t, `UPDATE orders SET tid = E'\xd6\xd0\xb9\xfa' WHERE id = 3`) // two characters in GBK
	page, err := ascii.Claim(t.Context(), store.Claim{Limit: 10, Lease: time.Minute, Lanes: true})
	must(t, err)
	claimed := ids(page.Orders)
	slices.Sort(claimed)
	if !slices.Equal(claimed, []int64{1, 2, 4, 5}) || len(page.Refused) != 1 || page.Refused[0].ID != 3 {
		t.Errorf("claimed %v, refused %+v; want all but order 3, and that one refused", claimed, page.Refused)
	}
}
