package store_test

import (
	"regexp"
	"strings"
	"testing"

	"reconciler/internal/order"
)

// The notes of the reviews that only a write shows are in the language of the settings, in the row
// and in the event.
func TestNotesInBothLanguages(t *testing.T) {
	t.Parallel()
	han := regexp.MustCompile(`\p{Han}`)
	for lang, chinese := range map[string]bool{"": false, "en": false, "zh": true} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.UseLanguage(lang)
			d.insert(t, 3)
			orders := d.claim(t, 3)
			d.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED' WHERE id = 1`)
			unwritable, silent := settled(orders[1]), settled(orders[2])
			unwritable.Booking.BankInfo, silent.Booking.BankInfo = new("a\x00b"), new("a\x00b")
			silent.Question.TradeStatus = ""
			d.record(t, settled(orders[0]), unwritable, silent)
			for id, facts := range map[int][]string{
				1: {"conflict", "TRADE_CLOSED", "TRADE_SUCCESS"},
				2: {"unwritable", "TRADE_SUCCESS", "order_queries"},
				3: {"unwritable", "order_queries"},
			} {
				note := scan[string](t, d, `SELECT review_reason || ': ' || review_note FROM orders WHERE id = $1`, id)
				told := scan[string](t, d, `SELECT concat_ws(': ', payload->>'review_reason', payload->>'review_note') FROM order_events WHERE order_id = $1`, id)
				if note != told {
					t.Errorf("order %d: note %q, the event says %q", id, note, told)
				}
				if han.MatchString(note) != chinese {
					t.Errorf("order %d: %q", id, note)
				}
				for _, fact := range facts {
					if !strings.Contains(note, fact) {
						t.Errorf("order %d: %q lacks %s", id, note, fact)
					}
				}
			}
			if n := scan[int](t, d, `SELECT count(*) FROM order_queries WHERE decision = $1`, order.Review); n != 3 {
				t.Errorf("%d reviews in the ledger", n)
			}
		})
	}
}
