package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Instance is a row of instances: a running daemon.
type Instance struct {
	Worker     string
	Version    string
	StartedAt  time.Time
	SeenAt     time.Time  // the database's clock
	LastPassAt *time.Time // nil: none has ended yet
	Trouble    string     // why it does not work; "": it works
	Settings   json.RawMessage
}

// AsideOrder is an order that waits aside because its row refuses to be written, or to be claimed.
type AsideOrder struct {
	ID    int64
	Cause string
}

// Heartbeat writes the row of an instance. Then it removes rows that nobody has written for a day.
// It ends the incidents of people's pauses that have run out, and those whose pause has gone. It
// also ends the breaker's pauses of merchants without an order left to probe them with. Orders that
// wait aside are a trouble too, while they are open. SeenAt is ignored: it becomes the database's
// present time.
//
// A lock on all of orders must not make the instance look dead: its row is written all the same.
func (s *Store) Heartbeat(ctx context.Context, i Instance, aside ...AsideOrder) error {
	if i.Trouble == "" && len(aside) > 0 {
		i.Trouble = s.asideTrouble(ctx, aside)
	}
	if err := s.writeInstance(ctx, i); err != nil {
		return fmt.Errorf("write the heartbeat: %w", err)
	}
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM instances WHERE seen_at < now() - interval '1 day'`)
	batch.Queue(endLapsed)
	batch.Queue(endPauseless)
	batch.Queue(endWithoutOrders)
	if err := s.pool.explainError(s.pool.SendBatch(ctx, batch).Close()); err != nil {
		return fmt.Errorf("the heartbeat is written, but pauses that have run out cannot be ended: %w", err)
	}
	return nil
}

func (s *Store) writeInstance(ctx context.Context, i Instance) error {
	settings := i.Settings
	if len(settings) == 0 {
		settings = json.RawMessage("{}")
	}
	_, err := s.pool.Exec(ctx, `
		INSERT INTO instances AS i (worker, version, started_at, seen_at, last_pass_at, trouble, settings)
		VALUES ($1, $2, $3, now(), $4, $5, $6)
		ON CONFLICT (worker) DO UPDATE SET version = excluded.version, started_at = excluded.started_at, seen_at = now(),
		    last_pass_at = excluded.last_pass_at, trouble = excluded.trouble,
		    settings = CASE WHEN i.settings = excluded.settings THEN i.settings ELSE excluded.settings END`,
		i.Worker, i.Version, i.StartedAt, i.LastPassAt, orNull(validText(i.Trouble)), string(settings))
	return err
}

// asideTrouble names those of the orders that are still open, "" where none is.
func (s *Store) asideTrouble(ctx context.Context, aside []AsideOrder) string {
	ids, causes := make([]int64, len(aside)), make([]string, len(aside))
	for n, a := range aside {
		ids[n], causes[n] = a.ID, validText(a.Cause)
	}
	ctx, cancel := context.WithTimeout(ctx, asideTimeout)
	defer cancel()
	var trouble string
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(string_agg('order ' || a.id || ' cannot be written and waits aside: ' || a.cause, '; ' ORDER BY a.id), '')
		FROM unnest($1::bigint[], $2::text[]) AS a(id, cause) JOIN orders AS o ON o.id = a.id
		WHERE `+isOpen+` AND o.review_reason IS NULL`, ids, causes).Scan(&trouble)
	if err != nil {
		return fmt.Sprintf("%d orders cannot be written and wait aside; they cannot be read either: %v", len(aside), err)
	}
	return trouble
}

// asideTimeout leaves most of the time of a heartbeat to its row.
const asideTimeout = 3 * time.Second

// endLapsed ends the incidents of pauses that a person set with an end that has come.
const endLapsed = `
	UPDATE gateway_incidents AS i SET closed_at = greatest(i.opened_at, c.paused_until), closed_by = i.opened_by
	FROM gateway_controls AS c
	WHERE i.closed_at IS NULL AND i.opened_by <> 'breaker' AND c.scope = i.scope AND c.key = i.key
	  AND c.set_by <> 'breaker' AND c.paused_until <= now()`

// endPauseless ends incidents whose pause has gone without them: somebody has deleted its row, or a
// daemon of the first release has, which knows of no incidents.
const endPauseless = `
	UPDATE gateway_incidents AS i SET closed_at = now(), closed_by = i.opened_by
	WHERE i.closed_at IS NULL AND i.opened_at < now() - interval '2 minutes'
	  AND NOT EXISTS (SELECT FROM gateway_controls AS c WHERE c.scope = i.scope AND c.key = i.key)`

// endWithoutOrders ends the breaker's pauses, and their incidents, of merchants without an order to
// probe them with. The pause ran out a minute ago, and the application has settled the orders
// itself. The next order is asked as usual.
const endWithoutOrders = `
	WITH ended AS (
	    DELETE FROM gateway_controls AS c
	    WHERE c.scope = 'mid' AND c.set_by = 'breaker' AND c.paused_until <= now() - interval '1 minute'
	      AND NOT EXISTS (SELECT FROM orders AS o WHERE ` + isQueued + ` AND o.mid = c.key)
	    RETURNING c.key
	)
	UPDATE gateway_incidents AS i SET closed_at = now(), closed_by = i.opened_by
	FROM ended
	WHERE i.scope = 'mid' AND i.key = ended.key AND i.closed_at IS NULL`

// Instances lists the daemons that were seen within a day, the latest seen first.
func (s *Store) Instances(ctx context.Context) ([]Instance, error) {
	return lookRows[Instance](ctx, s, "read the instances", `
		SELECT worker, version, started_at, seen_at, last_pass_at, coalesce(trouble, '') AS trouble, settings
		FROM instances ORDER BY seen_at DESC, worker LIMIT 1000`)
}

// countInstances counts the daemons that were seen within a minute.
func (s *Store) countInstances(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM instances WHERE seen_at > now() - interval '1 minute'`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the instances: %w", err)
	}
	return n, nil
}
