package main_test

import (
	"regexp"
	"testing"
)

// The notes of reviews are in the language of the settings, also those that only the write decides
// on.
func TestReviewNotesInChinese(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_LANG=zh")
	w.orders(t, 1, paid())
	hold := w.hold()
	p := w.start(t, "run-once")
	hold.await(t, 1)
	w.exec(t, `UPDATE orders SET status = 'TRADE_CLOSED'`)
	hold.release()
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	note := scan[string](t, w, `SELECT concat_ws(' ', review_reason, review_note) FROM orders`)
	if !regexp.MustCompile(`^conflict .*\p{Han}.*TRADE_CLOSED.*TRADE_SUCCESS`).MatchString(note) {
		t.Errorf("the row says %q", note)
	}
	w.invoke(t, "why", "#1", "--lang=zh").want(t, 0, note[len("conflict "):])
}
