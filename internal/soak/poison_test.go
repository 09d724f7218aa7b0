package soak_test

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// checkPoison finds innocent orders under review poison. Guilty is an order of which three claims
// in a row ended with their process, or took longer than their lease because the clock jumped. A
// lost reply, an outage or an answer that could not be written is no guilt.
func (w *world) checkPoison() {
	w.t.Helper()
	type claim struct {
		Number    string
		PoisonSeq int64
		PoisonAt  time.Time
		ClaimedBy string
		At        time.Time
		Overtime  bool
	}
	claims := rows(w.t, w.db.clock, pgx.RowToStructByPos[claim], `
		SELECT p.number, p.seq, p.at, (c.n).claimed_by, c.at,
		       EXISTS (SELECT 1 FROM soak_history t WHERE t.id = p.id AND t.seq BETWEEN c.seq AND p.seq AND t.who = 'clock'
		                 AND (t.o).claim_no = (c.n).claim_no AND (t.o).lease_until <> (t.n).lease_until)
		FROM soak_history p JOIN soak_history c ON c.id = p.id AND c.seq < p.seq
		WHERE p.who = 'reconciler' AND (p.n).review_reason = 'poison' AND (p.o).review_reason IS DISTINCT FROM 'poison'
		  AND c.who = 'reconciler' AND (c.n).unrecorded_claims > (c.o).unrecorded_claims AND (c.n).claim_no < (p.n).claim_no
		  AND c.seq > (SELECT coalesce(max(z.seq), 0) FROM soak_history z WHERE z.id = p.id AND z.seq < p.seq AND (z.n).unrecorded_claims = 0)
		  AND NOT EXISTS (SELECT 1 FROM soak_history z WHERE z.id = p.id AND z.seq < p.seq AND z.who = 'orm' AND (z.n).unrecorded_claims > (z.o).unrecorded_claims)
		ORDER BY c.seq`)
	lives := make(map[string]*life)
	for _, l := range w.lives {
		lives[l.name] = l
	}
	guilt, numbers := make(map[int64]int), make(map[int64]string)
	for _, c := range claims {
		numbers[c.PoisonSeq] = c.Number
		if c.Overtime || lives[c.ClaimedBy].endedBefore(c.PoisonAt) {
			guilt[c.PoisonSeq]++
		}
	}
	for seq, number := range numbers {
		if guilt[seq] < 3 {
			w.report(number, "poison, and innocent: %d of its claims ended with their process;", guilt[seq])
		}
	}
	w.poison = len(numbers)
}

// endedBefore reports whether the process had ended by then, in whatever way.
func (l *life) endedBefore(at time.Time) bool {
	ended := l.endedAt.Load()
	return ended != 0 && ended < at.UnixNano()
}
