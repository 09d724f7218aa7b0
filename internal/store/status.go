package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"reconciler/internal/order"

	"github.com/jackc/pgx/v5"
)

// OpenMerchant counts a merchant's unresolved orders, those under review included.
type OpenMerchant struct {
	MID      string
	Orders   int
	Amount   int64 // fen, at most 2^53
	Under10m int   // by age since created_at
	Under1h  int
	Under24h int
	Older    int
	// The amounts of them, in fen.
	AmountUnder10m, AmountUnder1h, AmountUnder24h, AmountOlder int64
	// Waiting and WaitingAmount leave out the orders under review: those that a pause would hold.
	Waiting       int
	WaitingAmount int64
	// Overdue counts the orders that are due and not in flight, late checks included.
	Overdue  int
	DueSince *time.Time // of the longest due of them
}

// OpenMerchants counts what is open, by merchant. It reads the partial indexes, so settled orders,
// however many, cost next to nothing. It fails after five seconds.
func (s *Store) OpenMerchants(ctx context.Context) ([]OpenMerchant, error) {
	const part = `
		SELECT o.mid, o.order_amount, o.created_at, o.next_query_at, o.lease_until, o.review_reason, o.status FROM orders AS o WHERE `
	const longestDue = `min(o.next_query_at) FILTER (WHERE o.overdue)`
	return lookRows[OpenMerchant](ctx, s, "count the open orders", `
		SELECT o.mid,
		       `+openColumns("orders", "amount", `true`)+`
		       `+openColumns("under10m", "amount_under10m", `o.created_at > now() - interval '10 minutes'`)+`
		       `+openColumns("under1h", "amount_under1h", `o.created_at <= now() - interval '10 minutes' AND o.created_at > now() - interval '1 hour'`)+`
		       `+openColumns("under24h", "amount_under24h", `o.created_at <= now() - interval '1 hour' AND o.created_at > now() - interval '1 day'`)+`
		       `+openColumns("older", "amount_older", `o.created_at <= now() - interval '1 day'`)+`
		       `+openColumns("waiting", "waiting_amount", `o.review_reason IS NULL`)+`
		       count(*) FILTER (WHERE o.overdue) AS overdue,
		       CASE WHEN `+longestDue+inRange+` THEN `+longestDue+` END AS due_since
		FROM (
		    SELECT o.*, o.status <> 'NOT_FOUND' AS open, o.review_reason IS NULL AND `+isOverdue+` AS overdue FROM (
		        `+part+isQueued+`
		        UNION ALL `+part+`o.review_reason IS NOT NULL AND `+isUnresolved+`
		        UNION ALL `+part+isOrphan+`
		    ) AS o
		) AS o
		GROUP BY o.mid
		HAVING bool_or(o.open OR o.overdue)
		ORDER BY o.mid`)
}

// openColumns are the number of the open orders that a condition holds for, and their amount.
func openColumns(orders, amount, condition string) string {
	where := ` FILTER (WHERE o.open AND ` + condition + `)`
	return `count(*)` + where + ` AS ` + orders + `, least(coalesce(sum(o.order_amount)` + where + `, 0), ` + maxSum + `)::bigint AS ` + amount + `,`
}

// isOrphan repeats the predicate of the index orders_orphans.
const isOrphan = isUnresolved + `
	  AND o.review_reason IS NULL
	  AND o.next_query_at IS NULL`

// ReviewPile counts the orders that need a person, by reason.
func (s *Store) ReviewPile(ctx context.Context) (map[string]Pile, error) {
	type row struct {
		ReviewReason string
		Orders       int
		Amount       int64
		Age          float64
	}
	rows, err := lookRows[row](ctx, s, "count the orders under review", `
		SELECT o.review_reason, count(*) AS orders, least(sum(o.order_amount), `+maxSum+`)::bigint AS amount,
		       greatest(0, extract(epoch FROM now() - min(greatest(o.created_at, '0001-01-01Z'))))::float8 AS age
		FROM orders AS o WHERE `+isUnderReview+` GROUP BY o.review_reason`)
	if err != nil {
		return nil, err
	}
	piles := make(map[string]Pile, len(rows))
	for _, r := range rows {
		piles[r.ReviewReason] = Pile{Orders: r.Orders, Amount: r.Amount, Oldest: toDuration(r.Age)}
	}
	return piles, nil
}

// isUnderReview are the orders that need a person. Any review but a conflict is over once the
// application has settled the order.
const isUnderReview = `o.review_reason IS NOT NULL AND (` + isOpen + ` OR o.review_reason = 'conflict')`

// Learned are the orders whose outcome the reconciler found out.
type Learned struct {
	Statuses []StatusCount // those with orders
	Days     []DayCount    // the same orders by the day on which they were settled
	// P50 and P95 are the seconds from created_at to settled_at, 0 where nothing was learned.
	P50, P95 float64
}

// StatusCount counts the learned orders of one status.
type StatusCount struct {
	Status order.Status
	Orders int
	Amount int64 // fen: total_amount, else order_amount
}

// DayCount counts the learned orders of one status and one day.
type DayCount struct {
	Day    string // 2006-01-02
	Status order.Status
	Orders int
}

// LearnedSince counts the orders that were settled by a query at or after a time, with the days of
// a zone. An order that something has reopened is not settled. One statement counts all.
func (s *Store) LearnedSince(ctx context.Context, since time.Time, zone *time.Location) (Learned, error) {
	type row struct {
		Status   *order.Status
		Day      *string
		Orders   int
		Amount   int64
		P50, P95 float64
	}
	rows, err := lookRows[row](ctx, s, "count the outcomes that were learned", learnedSQL, since, zone.String())
	if err != nil {
		return Learned{}, err
	}
	var l Learned
	for _, r := range rows {
		switch {
		case r.Day != nil:
			l.Days = append(l.Days, DayCount{*r.Day, *r.Status, r.Orders})
		case r.Status != nil:
			l.Statuses = append(l.Statuses, StatusCount{*r.Status, r.Orders, r.Amount})
		default:
			l.P50, l.P95 = r.P50, r.P95
		}
	}
	return l, nil
}

// learnedSQL reads the index orders_learned.
const learnedSQL = `
	SELECT o.status, to_char(o.day, 'YYYY-MM-DD') AS day, count(*) AS orders, least(sum(o.amount), ` + maxSum + `)::bigint AS amount,
	       coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY o.seconds), 0) AS p50,
	       coalesce(percentile_cont(0.95) WITHIN GROUP (ORDER BY o.seconds), 0) AS p95
	FROM (
	    SELECT o.status, (o.settled_at AT TIME ZONE $2)::date AS day, coalesce(o.total_amount, o.order_amount) AS amount,
	           CASE WHEN isfinite(o.created_at) THEN extract(epoch FROM o.settled_at - o.created_at)::float8 END AS seconds
	    FROM orders AS o
	    WHERE o.settled_by = 'query' AND o.settled_at >= $1 AND isfinite(o.settled_at)
	      AND o.status IN ('TRADE_SUCCESS', 'TRADE_REFUND', 'TRADE_CLOSED')
	) AS o
	GROUP BY GROUPING SETS ((o.status), (o.day, o.status), ())
	HAVING count(*) > 0
	ORDER BY o.day, o.status`

// Unread is what a consumer of the events has not acknowledged. The consumer [WebhookConsumer]
// acknowledges what the application has accepted, and what is set aside.
type Unread struct {
	Consumer string
	Oldest   *time.Time // since when the oldest event waits: its created_at, or when it was to be sent again; nil: it has read all
	SeenAt   time.Time
}

// isUnread are the events of a table that consumer c has not acknowledged.
func isUnread(table string) string {
	return strings.ReplaceAll(`(e.xact, e.id) > (c.xact, c.id)
	AND (c.registered_in IS NULL OR NOT pg_visible_in_snapshot(e.xact, c.registered_in))`, "e.", table+".")
}

// UnreadEvents lists the consumers of the events. It also counts the deliveries by HTTP that were
// set aside.
func (s *Store) UnreadEvents(ctx context.Context) (list []Unread, setAside int, err error) {
	err = s.readAtOnce(ctx, func(tx pgx.Tx) error {
		list, err = collectRows[Unread](ctx, tx, `
			SELECT c.name AS consumer, least(oldest.created_at, pending.since) AS oldest, c.seen_at
			FROM event_consumers AS c
			LEFT JOIN LATERAL (
			    SELECT e.created_at FROM order_events AS e
			    WHERE `+isUnread("e")+`
			    ORDER BY e.xact, e.id LIMIT 1
			) AS oldest ON true
			LEFT JOIN LATERAL (
			    SELECT min(d.pending_since) AS since FROM webhook_deliveries AS d
			    WHERE d.next_at IS NOT NULL AND c.name = $1
			) AS pending ON true
			ORDER BY c.name LIMIT 1000`, WebhookConsumer)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM webhook_deliveries WHERE set_aside_at IS NOT NULL`).Scan(&setAside)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the consumers of the events: %w", err)
	}
	return list, setAside, nil
}
