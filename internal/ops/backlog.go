package ops

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// BacklogReader counts the work that is not done. A [*store.Store] is one.
type BacklogReader interface {
	Backlog(ctx context.Context) (store.Backlog, error)
	UnreadEvents(ctx context.Context) (consumers []store.Unread, setAside int, err error)
}

// backlog measures whether accepted work moves, which no count of answers tells: a service that
// answers well and settles nothing looks busy, or idle, but not ill.
type backlog struct {
	kept[backlogReading]

	descs backlogDescs
}

type backlogReading struct {
	store.Backlog

	up       bool
	lastPass func() time.Time // it is asked at each scrape
}

type backlogDescs struct {
	unresolved, unresolvedAmount, unresolvedOldest *prometheus.Desc
	inReview, inReviewAmount                       *prometheus.Desc
	overdue, overdueOldest                         *prometheus.Desc
	paused, held, heldAmount                       *prometheus.Desc
	instances, up, lastPass                        *prometheus.Desc
}

func newBacklog() *backlog {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("reconciler_"+name, help, labels, nil)
	}
	return &backlog{descs: backlogDescs{
		unresolved:       desc("orders_unresolved", "Orders whose outcome is unknown, those under review included.", "status"),
		unresolvedAmount: desc("orders_unresolved_amount_fen", "What their payers were asked for.", "status"),
		unresolvedOldest: desc("orders_unresolved_oldest_seconds", "Age of the oldest of them; 0 = there is none.", "status"),
		inReview:         desc("orders_in_review", "Orders that wait for a person.", "reason"),
		inReviewAmount:   desc("orders_in_review_amount_fen", "What their payers were asked for.", "reason"),
		overdue:          desc("orders_overdue", "Orders that are due, not in flight and not paused."),
		overdueOldest:    desc("orders_overdue_oldest_seconds", "How long the longest due of them has been due; 0 = there is none."),
		paused:           desc("paused", "1 for each pause in force. A scope without one has a 0 without a key.", "scope", "key", "set_by"),
		held:             desc("orders_paused", "Orders that a pause keeps from being asked.", "scope", "key"),
		heldAmount:       desc("orders_paused_amount_fen", "The amount that their payers were asked for.", "scope", "key"),
		instances:        desc("instances", "Daemons that were seen within a minute, by the database."),
		up:               desc("backlog_up", "Whether the backlog could be read; if not, its other figures are absent."),
		lastPass:         desc("last_pass_finished_timestamp_seconds", "When this instance's last pass ended without failure; 0 = none has yet."),
	}}
}

// Describe names all figures.
func (b *backlog) Describe(descs chan<- *prometheus.Desc) {
	d := b.descs
	for _, desc := range []*prometheus.Desc{
		d.unresolved, d.unresolvedAmount, d.unresolvedOldest, d.inReview, d.inReviewAmount,
		d.overdue, d.overdueOldest, d.paused, d.held, d.heldAmount, d.instances, d.up, d.lastPass,
	} {
		descs <- desc
	}
}

// Collect tells the backlog as it was at most keptFor ago.
func (b *backlog) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	now := b.latest()
	lastPass := time.Time{}
	if now.lastPass != nil {
		lastPass = now.lastPass()
	}
	gauge(b.descs.lastPass, float64(max(0, lastPass.UnixMilli()))/1000) // the zero time lies before 0
	if !now.up {
		gauge(b.descs.up, 0)
		return
	}
	gauge(b.descs.up, 1)
	for _, status := range order.UnresolvedStatuses() {
		pile := now.Unresolved[status]
		gauge(b.descs.unresolved, float64(pile.Orders), string(status))
		gauge(b.descs.unresolvedAmount, float64(pile.Amount), string(status))
		gauge(b.descs.unresolvedOldest, pile.Oldest.Seconds(), string(status))
	}
	for reason, pile := range everyReason(now.Review) {
		gauge(b.descs.inReview, float64(pile.Orders), reason)
		gauge(b.descs.inReviewAmount, float64(pile.Amount), reason)
	}
	gauge(b.descs.overdue, float64(now.Overdue))
	gauge(b.descs.overdueOldest, now.OverdueBy.Seconds())
	gauge(b.descs.instances, float64(now.Instances))
	for _, scope := range []store.Scope{store.ScopeApp, store.ScopeMerchant} {
		if !slices.ContainsFunc(now.Pauses, func(c store.Control) bool { return c.Scope == scope }) {
			gauge(b.descs.paused, 0, string(scope), "", "")
		}
	}
	for _, c := range now.Pauses {
		gauge(b.descs.paused, 1, string(c.Scope), labelText(c.Key), labelText(c.SetBy))
	}
	for _, pile := range now.Held {
		gauge(b.descs.held, float64(pile.Orders), string(pile.Scope), labelText(pile.Key))
		gauge(b.descs.heldAmount, float64(pile.Amount), string(pile.Scope), labelText(pile.Key))
	}
}

// everyReason adds the reasons for which nothing waits: a figure that is not there
// makes an alert as quiet as one that is 0.
func everyReason(piles map[string]store.Pile) map[string]store.Pile {
	all := make(map[string]store.Pile)
	for _, reason := range order.ReviewReasons() {
		all[reason] = store.Pile{}
	}
	for reason, pile := range piles {
		all[labelText(reason)] = pile
	}
	return all
}

// labelText makes what a person wrote fit for one.
func labelText(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
