package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"reconciler/internal/store"
)

const (
	sickBacklog   = 4000 // orders of a merchant that is left out, before all others
	roundOf       = 150  // merchants, which are more than a claim looks at
	ordersOfRound = 2    // of each
)

// insertRound inserts the backlog of merchant 0, and the orders of the others behind it.
func insertRound(t *testing.T, d database) {
	t.Helper()
	d.insert(t, sickBacklog+roundOf*ordersOfRound)
	d.exec(t, `UPDATE orders SET mid = CASE WHEN id <= $1 THEN $2 ELSE '8983401490001' || lpad((1 + id % $3)::text, 3, '0') END`,
		sickBacklog, merchant(0), roundOf)
	d.exec(t, `ANALYZE orders, gateway_controls`)
}

func othersOfRound() []string {
	list := make([]string, roundOf)
	for i := range list {
		list[i] = fmt.Sprintf("8983401490001%03d", i+1)
	}
	return list
}

// A few claims after another find the orders of all merchants that are not left out, each once. The
// backlog of the others may be long.
func TestClaimsGoRoundTheMerchants(t *testing.T) {
	t.Parallel()
	for name, claim := range map[string]store.Claim{
		"paused here":   {PausedMIDs: []string{merchant(0)}},
		"not ours":      {ExceptMIDs: []string{merchant(0)}},
		"not in a list": {MIDs: othersOfRound()},
		"paused there":  {PausedMIDs: []string{"898340149000999"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			insertRound(t, d)
			if name == "paused there" {
				d.exec(t, `INSERT INTO gateway_controls (scope, key, set_by) VALUES ('mid', $1, 'an operator')`, merchant(0))
			}
			claim.Limit, claim.Lanes, claim.Suspects = 40, true, true
			seen := make(map[int64]bool)
			found := true // in this round
			for claims := 0; ; claims++ {
				page := d.page(t, claim)
				for _, o := range page.Orders {
					if o.MID == merchant(0) || seen[o.ID] {
						t.Errorf("claimed order %d of %s", o.ID, o.MID)
					}
					seen[o.ID], found = true, true
				}
				if claim.Round = page.Round; page.Round == (store.Round{}) {
					if !found {
						break
					}
					found = false
				}
				if claims > 100 {
					t.Fatal("the round has no end")
				}
			}
			if len(seen) != roundOf*ordersOfRound {
				t.Errorf("claimed %d orders of the others, want %d", len(seen), roundOf*ordersOfRound)
			}
		})
	}
}

// In a round each merchant gets its share before the longest due of a larger one.
func TestClaimSharesThePage(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 1000)
	// Merchant 0 is left out and has the first orders that a claim looks at. Merchant 1 has 300 that
	// are longer due than those of 20 others.
	d.exec(t, `UPDATE orders SET mid = '8983401490001' || CASE WHEN id <= 600 THEN '00' WHEN id <= 900 THEN '01' ELSE lpad((2 + id % 20)::text, 2, '0') END`)
	got := byMerchant(d.claimWith(t, store.Claim{Limit: 42, PausedMIDs: []string{merchant(0)}}))
	if len(got) != 21 {
		t.Errorf("a page of 42 has orders of %d merchants, want all 21: %v", len(got), got)
	}
}

// A claim reads few orders, however many the merchants have that are left out.
func TestClaimReadsFewOrdersOfOthers(t *testing.T) {
	t.Parallel()
	d := open(t)
	insertRound(t, d)
	for _, claim := range []store.Claim{{PausedMIDs: []string{merchant(0)}}, {MIDs: othersOfRound()}} {
		claim.Lanes, claim.Worker, claim.Lease, claim.Limit = true, "test", time.Minute, 16
		if read := ordersRead(t, prepareClaim(t, d, claim)()); read == 0 || read > 2500 {
			t.Errorf("the claim read %d orders", read)
		}
	}
}

// A claim whose first orders fill it looks at no merchant's orders besides.
func TestClaimTakesTheLongestDueWhileTheyDo(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 20*roundOf)
	d.exec(t, `UPDATE orders SET mid = '8983401490001' || lpad((1 + id % $1)::text, 3, '0')`, roundOf)
	d.exec(t, `ANALYZE orders, gateway_controls`)
	claim := store.Claim{Worker: "test", Lease: time.Minute, Limit: 100, PausedMIDs: []string{merchant(0)}}
	page := d.page(t, claim)
	if page.Round != (store.Round{}) {
		t.Errorf("the claim began a round of the merchants: %v", page.Round)
	}
	for i, o := range page.Orders {
		if want := int64(i + 1); o.ID != want {
			t.Fatalf("order %d of the page is %d, want the longest due in turn", i, o.ID)
		}
	}
	// Of a merchant that may have one order there is no more to take.
	claim.MerchantCaps = make(map[string]int)
	for _, mid := range othersOfRound()[:130] {
		claim.MerchantCaps[mid] = 1
	}
	if page = d.page(t, claim); page.Round == (store.Round{}) {
		t.Error("the first orders are of merchants that may have one each, and the claim looked at no other merchant")
	}
}

// ordersRead is how many rows of orders the scans of a plan have met.
func ordersRead(t *testing.T, text []byte) int {
	t.Helper()
	type node struct {
		Table   string  `json:"Relation Name"`
		Type    string  `json:"Node Type"`
		Rows    float64 `json:"Actual Rows"`
		Removed float64 `json:"Rows Removed by Filter"`
		Loops   float64 `json:"Actual Loops"`
		Plans   []json.RawMessage
	}
	var plan []struct{ Plan json.RawMessage }
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for rest := []json.RawMessage{plan[0].Plan}; len(rest) > 0; {
		var n node
		if err := json.Unmarshal(rest[0], &n); err != nil {
			t.Fatal(err)
		}
		if n.Table == "orders" && n.Type != "ModifyTable" {
			total += (n.Rows + n.Removed) * n.Loops
		}
		rest = slices.Concat(rest[1:], n.Plans)
	}
	return int(total)
}
