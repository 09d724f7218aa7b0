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
	Number      string
	Status      order.Status
	Review      string
	Total       *int64
	InFlight    bool
	Coming      bool
	ByShop      bool          // the shop was the last to write the time or the review
	Application *order.Status // the status that the shop last settled it with, and has not taken back
	Conflict    bool          // the ledger has an answer that contradicts the status
	Cleared     bool          // and the shop saved the row since
	Corrected   bool          // what is asked about was wrong for a while
	Refused     bool          // the shop's trigger refused answers
}

// shop are those who write to an order beside the reconciler.
const shop = `('application', 'orm', 'person')`

func (w *world) ends() []end {
	return rows(w.t, w.db.clock, pgx.RowToStructByName[end], `
		SELECT substr(coalesce(now.mer_order_id, now.target_order_id), 5, 8) AS number, now.status, coalesce(now.review_reason, '') AS review,
		       now.total_amount AS total, coalesce(now.lease_until > now(), false) AS in_flight, now.next_query_at IS NOT NULL AS coming,
		       coalesce((SELECT who IN `+shop+` FROM soak_history h
		        WHERE h.id = now.id AND ((o).next_query_at, (o).review_reason) IS DISTINCT FROM ((n).next_query_at, (n).review_reason)
		        ORDER BY seq DESC LIMIT 1), false) AS by_shop,
		       (SELECT CASE WHEN (n).status LIKE 'TRADE%' THEN (n).status END FROM soak_history h
		        WHERE h.id = now.id AND who IN `+shop+` AND (n).id IS NOT NULL
		          AND ((o).status IS DISTINCT FROM (n).status OR (n).status LIKE 'TRADE%' AND o IS DISTINCT FROM n)
		        ORDER BY seq DESC LIMIT 1) AS application,
		       conflict.seq IS NOT NULL AS conflict,
		       EXISTS (SELECT 1 FROM soak_history h WHERE h.id = now.id AND h.seq > conflict.seq AND who IN `+shop+`) AS cleared,
		       EXISTS (SELECT 1 FROM soak_history h WHERE h.id = now.id AND who IN `+shop+` AND (o).id IS NOT NULL AND (n).id IS NOT NULL
		          AND ((o).mid, (o).order_amount, (o).mer_order_id, (o).target_order_id)
		              IS DISTINCT FROM ((n).mid, (n).order_amount, (n).mer_order_id, (n).target_order_id)) AS corrected,
		       EXISTS (SELECT 1 FROM soak_refused r WHERE r.order_id = now.id) AS refused
		FROM orders AS now CROSS JOIN LATERAL (
			SELECT max(h.seq) AS seq FROM soak_history h JOIN order_queries q ON q.order_id = now.id AND q.soak_xid = h.xid
			WHERE h.id = now.id AND q.reason = 'conflict') AS conflict
		ORDER BY now.id`)
}

// checkTruth compares every order with its script, now that nothing will come of
// itself. After the run-once --review of reviewByHand nothing but the truth will do.
func (w *world) checkTruth(final bool) {
	w.t.Helper()
	for _, e := range w.ends() {
		s := w.byNumber[e.Number]
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
		if wrong == "" && e.Review != "" && e.Coming && !e.ByShop && !e.Status.Settled() {
			wrong = "under review, and to be asked by itself"
		}
		if wrong != "" {
			w.report(e.Number, "%s (final %t): ended as %s under review %q;", wrong, final, e.Status, e.Review)
		}
	}
}

// settledByApplication: its word stands, whatever the gateway says.
func settledByApplication(e end) string {
	switch {
	case e.Status != *e.Application:
		return "the application's word does not stand"
	case e.Conflict && !e.Cleared && e.Review != "conflict":
		return "a conflict is not shown"
	}
	return ""
}

// deserved: the order has ended in something that its script says somewhere, or in what age and
// crashes bring. Of these the history proves that they did.
func deserved(s *script, e end) string {
	says := func(is func(act) bool) bool { return slices.ContainsFunc(s.steps, is) }
	if e.Status.Settled() {
		return settledRightly(s, e)
	}
	ok := false
	switch e.Review {
	case "":
		ok = e.Status == order.StatusNotFound && (!e.Coming || s.isProcessing()) && (e.Corrected || says(func(a act) bool { return a.word == noOrder }))
	case "poison":
		ok = true // see checkPoison
	case "conflict":
		ok = e.Conflict // an ORM has reopened it since, and a person is still needed
	case "unwritable":
		ok = e.Refused || says(func(a act) bool { return a.review == e.Review })
	case "query_window_over":
		ok = true // any answer may come too late on a slow machine; the history shows its age
	case "not_found_unconfirmed":
		ok = e.Corrected || says(func(a act) bool { return a.word == noOrder })
	case "identity_mismatch", "amount_mismatch":
		ok = e.Corrected || says(func(a act) bool { return a.review == e.Review })
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
			return e.Application == nil && finally(w.byNumber[e.Number], e) != ""
		})
		if !open {
			return
		}
		review := poller.Run{Once: true, Selection: &store.Selection{Review: true}}
		w.settlePass(review, review)
	}
}
