package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/store"
)

// The last hour's questions count by minute and by how they came out, those of the last minute by
// merchant.
func TestAnswersByMinute(t *testing.T) {
	t.Parallel()
	d := open(t)
	if minutes, loads, err := d.AnswersByMinute(t.Context()); err != nil || len(minutes)+len(loads) != 0 {
		t.Errorf("of nothing: %v, %v, %v", minutes, loads, err)
	}
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET mid = $1 WHERE id = 2`, otherMID)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, round_trips, queried_at)
		SELECT o, 1, decision, trips, date_trunc('minute', now()) - age::interval FROM (VALUES
		    (1, 'settled', 1, '3 hours'), (1, 'settled', 1, '2 hours'), (1, 'settled', 1, '30 minutes'), (2, 'deferred', 1, '30 minutes'), (1, 'no_answer', 3, '30 minutes'),
		    (1, 'refused', 1, '30 minutes'), (1, 'refused', 1, '20 minutes')) AS v(o, decision, trips, age)`)
	minutes, loads, err := d.AnswersByMinute(t.Context())
	must(t, err)
	if len(minutes) != 2 || minutes[1].Minute.Sub(minutes[0].Minute) != 10*time.Minute || len(loads) != 0 {
		t.Fatalf("minutes %v, loads %v", minutes, loads)
	}
	minutes[0].Minute, minutes[1].Minute = time.Time{}, time.Time{}
	if diff := cmp.Diff([]store.MinuteCount{{Answered: 2, NoAnswer: 1, Refused: 1}, {Refused: 1}}, minutes); diff != "" {
		t.Errorf("minutes (-want +got):\n%s", diff)
	}
}

// Of the last hour's questions the latest thousand count.
func TestLatestAnswers(t *testing.T) {
	t.Parallel()
	d := open(t)
	latest := func() store.Answers {
		t.Helper()
		a, err := d.LatestAnswers(t.Context())
		must(t, err)
		return a
	}
	if diff := cmp.Diff(store.Answers{Codes: []store.CodeCount{}}, latest()); diff != "" {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, queried_at, duration_ms, decision, err_code) VALUES
		(1, 1, now() - interval '61 minutes', 5000, 'settled', 'SUCCESS'),
		(1, 2, '2026-01-01', 5000, 'settled', 'SUCCESS')`)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, queried_at, duration_ms, decision, err_code)
		SELECT 1, i, now() - interval '59 minutes', i * 10, 'deferred', 'NO_ORDER' FROM generate_series(1, 21) AS i`)
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, duration_ms, decision, err_code) VALUES
		(1, 30, 60000, 'no_answer', NULL), (1, 31, 60000, 'refused', 'BAD_SIGN'), (1, 32, 60000, 'refused', 'BAD_SIGN')`)
	got := latest()
	if got.Newest == nil || !got.Newest.Equal(scan[time.Time](t, d, `SELECT max(queried_at) FROM order_queries`)) {
		t.Errorf("the newest is of %v", got.Newest)
	}
	got.Newest = nil
	want := store.Answers{Questions: 24, Answered: 21, P95: 200, Codes: []store.CodeCount{{"NO_ORDER", 21}, {"BAD_SIGN", 2}, {"", 1}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	d.exec(t, `INSERT INTO order_queries (order_id, claim_no, decision, err_code) SELECT 1, i, 'settled', 'CODE' || i % 25 FROM generate_series(100, 1098) AS i`)
	got = latest()
	if got.Questions != 1000 || got.Answered != 999 || len(got.Codes) != 20 || got.Codes[0] != (store.CodeCount{"CODE0", 40}) {
		t.Errorf("of many: %d questions, %d answered, codes %v", got.Questions, got.Answered, got.Codes)
	}
}
