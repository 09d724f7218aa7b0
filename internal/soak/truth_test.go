package soak_test

import (
	"slices"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/order"
	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// end is where an order has ended.
type end struct {
	Key         string
	Status      order.Status
	Review      string
	Total       *int64
	InFlight    bool
	Coming      bool
	Application *order.Status // the status that the application last settled it with
	Conflict    bool          // the ledger has an answer that contradicts the status
}

func (w *world) ends() []end {
	return rows(w.t, w.db.clock, pgx.RowToStructByName[end], `
		SELECT coalesce((first.n).mer_order_id, (first.n).target_order_id) AS key, now.status, coalesce(now.review_reason, '') AS review,
		       now.total_amount AS total, coalesce(now.lease_until > now(), false) AS in_flight, now.next_query_at IS NOT NULL AS coming,
		       (SELECT (n).status FROM soak_history h WHERE h.id = now.id AND who = 'application' AND (n).status LIKE 'TRADE%'
		        ORDER BY seq DESC LIMIT 1) AS application,
		       EXISTS (SELECT 1 FROM order_queries q WHERE q.order_id = now.id AND q.reason = 'conflict') AS conflict
		FROM orders AS now JOIN soak_history AS first ON first.id = now.id AND (first.o).id IS NULL
		ORDER BY now.id`)
}

// checkTruth compares every order with its script, now that nothing will come of
// itself. After the run-once --review of reviewByHand nothing but the truth will do.
func (w *world) checkTruth(final bool) {
	w.t.Helper()
	for _, e := range w.ends() {
		s := w.byKey[e.Key]
		wrong := ""
		switch {
		case e.InFlight:
			wrong = "still in flight"
		case e.Application != nil:
			wrong = settledByApplication(e)
		case final:
			wrong = finally(s, e)
		default:
			wrong = deserved(s, e)
		}
		if wrong == "" && e.Review != "" && e.Coming && !e.Status.Settled() {
			wrong = "under review, and to be asked by itself"
		}
		if wrong != "" {
			w.report(e.Key, "%s (final %t): ended as %s under review %q;", wrong, final, e.Status, e.Review)
		}
	}
}

// settledByApplication: its word stands, whatever the gateway says.
func settledByApplication(e end) string {
	switch {
	case e.Status != *e.Application:
		return "the application's word does not stand"
	case e.Conflict && e.Review != "conflict":
		return "a conflict is not shown"
	}
	return ""
}

// deserved: the order has ended in something that its script says somewhere, or in
// what age and crashes bring, of which the history proves that they did.
func deserved(s *script, e end) string {
	says := func(is func(act) bool) bool { return slices.ContainsFunc(s.steps, is) }
	ok := false
	switch {
	case e.Status.Settled():
		return settledRightly(s, e)
	case e.Review == "":
		ok = e.Status == order.StatusNotFound && !e.Coming && says(func(a act) bool { return a.word == noOrder })
	case e.Review == "poison":
		ok = true
	case e.Review == "query_window_over":
		ok = says(func(a act) bool { return a.word == waiting })
	case e.Review == "not_found_unconfirmed":
		ok = says(func(a act) bool { return a.word == noOrder })
	default:
		ok = says(func(a act) bool { return a.review == e.Review })
	}
	if !ok {
		return "its script says nothing of the kind"
	}
	return ""
}

func settledRightly(s *script, e end) string {
	switch {
	case !slices.ContainsFunc(s.steps, func(a act) bool { return a.status == e.Status }):
		return "its script never says so"
	case e.Review != "" && (e.Review != "conflict" || !e.Conflict): // a late answer may say otherwise
		return "settled by the gateway's word, and still under review"
	case e.Status.Paid() && (e.Total == nil || *e.Total != s.amount):
		return "paid without its amount"
	}
	return ""
}

// finally: after all noise and all mishaps, and the review by hand.
func finally(s *script, e end) string {
	truth := s.truth()
	switch {
	case e.Status.Settled():
		return settledRightly(s, e)
	case truth.review != "" && e.Review == truth.review:
		return ""
	case truth.status != "":
		return "not settled, although the gateway says so to whom asks"
	case truth.review != "" && truth.word == silent:
		return "another review than its truth's"
	}
	return deserved(s, e)
}

// reviewByHand is what the notes tell a person to do: ask again about everything
// that is open or under review, as often as it takes the scripts to come to their
// ends.
func (w *world) reviewByHand() {
	w.t.Helper()
	for range 20 {
		open := slices.ContainsFunc(w.ends(), func(e end) bool {
			return e.Application == nil && finally(w.byKey[e.Key], e) != ""
		})
		if !open {
			return
		}
		w.settlePass(poller.Run{Once: true, Selection: &store.Selection{Review: true}})
	}
}
