package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// BreakerPause is a pause that the circuit breaker sets.
type BreakerPause struct {
	Scope Scope
	Key   string
	Cause string        // in words
	For   time.Duration // from the database's present time, at most an hour
	// FailedOrderID and FailedMID say which question failed last. The probe is about another order,
	// and that of an app about another merchant where there is one. Zero: unknown.
	FailedOrderID int64
	FailedMID     string
	// QuestionsLost is how many questions it cost since the last such call; 0 counts as 1.
	QuestionsLost int
}

// maxBreakerPause is how long the breaker pauses at most. See [isPaused] for what lies further
// ahead.
const maxBreakerPause = time.Hour

// PauseByBreaker opens the breaker of an app or a merchant, and opens an incident or continues the
// last one. A pause by a person that is in force stays as it is.
func (s *Store) PauseByBreaker(ctx context.Context, p BreakerPause) error {
	err := s.pool.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO gateway_controls AS c (scope, key, paused_until, reason, set_by, failed_order_id, failed_mid)
			VALUES ($1, $2, now() + $3::interval, $4, 'breaker', nullif($5, 0::bigint), nullif($6, ''))
			ON CONFLICT (scope, key) DO UPDATE
			SET paused_until = excluded.paused_until, reason = excluded.reason, set_by = 'breaker', set_at = now(), probe_until = NULL,
			    failed_order_id = excluded.failed_order_id, failed_mid = excluded.failed_mid
			WHERE c.set_by = 'breaker' OR c.paused_until <= now()`,
			p.Scope, p.Key, min(p.For, maxBreakerPause), validText(p.Cause), p.FailedOrderID, p.FailedMID)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return continueIncident(ctx, tx, p)
	})
	if err != nil {
		return fmt.Errorf("pause %s %s: %w", p.Scope, p.Key, err)
	}
	return nil
}

// continueIncident counts lost questions on the breaker's incident, which goes on if it ended less
// than two minutes ago, or opens one.
func continueIncident(ctx context.Context, tx pgx.Tx, p BreakerPause) error {
	if _, err := tx.Exec(ctx, `
		UPDATE gateway_incidents SET closed_at = now(), closed_by = opened_by
		WHERE scope = $1 AND key = $2 AND closed_at IS NULL AND opened_by <> 'breaker'`, p.Scope, p.Key); err != nil {
		return err
	}
	lost := max(1, p.QuestionsLost)
	tag, err := tx.Exec(ctx, `
		UPDATE gateway_incidents
		SET closed_at = NULL, closed_by = NULL, cause = $3, questions_lost = questions_lost + $4
		WHERE id = (
		    SELECT id FROM gateway_incidents WHERE scope = $1 AND key = $2 ORDER BY opened_at DESC, id DESC LIMIT 1
		  ) AND opened_by = 'breaker' AND (closed_at IS NULL OR closed_at > now() - interval '2 minutes')`,
		p.Scope, p.Key, validText(p.Cause), lost)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	return openIncident(ctx, tx, Incident{Scope: p.Scope, Key: p.Key, Cause: p.Cause, OpenedBy: Breaker, QuestionsLost: int64(lost)})
}

func openIncident(ctx context.Context, tx pgx.Tx, i Incident) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO gateway_incidents (scope, key, cause, opened_by, questions_lost) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT DO NOTHING`, i.Scope, i.Key, validText(i.Cause), validText(i.OpenedBy), i.QuestionsLost)
	return err
}

// closeIncident ends the incident that goes on. It returns when it was opened; nil: there was none.
func closeIncident(ctx context.Context, tx pgx.Tx, scope Scope, key, by string) (openedAt *time.Time, err error) {
	err = tx.QueryRow(ctx, `
		UPDATE gateway_incidents SET closed_at = now(), closed_by = $3
		WHERE scope = $1 AND key = $2 AND closed_at IS NULL
		RETURNING opened_at`, scope, key, validText(by)).Scan(&openedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return openedAt, err
}

// ResumeByBreaker ends a pause of the breaker whose probe came back well, with its incident, and
// returns how long the incident lasted. Another pause, made by a person or meanwhile by the
// breaker, stays.
func (s *Store) ResumeByBreaker(ctx context.Context, scope Scope, key string) (resumed bool, after time.Duration, err error) {
	err = s.pool.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var since, now time.Time
		// A probe is out although the pause is not over, if the clock was set back or a person
		// asked despite the pause. A pause that was opened meanwhile has no probe.
		err := tx.QueryRow(ctx, `
			DELETE FROM gateway_controls
			WHERE scope = $1 AND key = $2 AND set_by = 'breaker' AND (paused_until <= now() OR probe_until IS NOT NULL)
			RETURNING set_at, now()`, scope, key).Scan(&since, &now)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		openedAt, err := closeIncident(ctx, tx, scope, key, Breaker)
		if openedAt != nil {
			since = *openedAt
		}
		resumed, after = true, max(0, now.Sub(since))
		return err
	})
	if err != nil {
		return false, 0, fmt.Errorf("resume %s %s: %w", scope, key, err)
	}
	return resumed, after, nil
}

// ReleaseProbe lets another question be the probe: this one showed nothing.
func (s *Store) ReleaseProbe(ctx context.Context, scope Scope, key string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE gateway_controls SET probe_until = NULL WHERE scope = $1 AND key = $2 AND set_by = 'breaker'`, scope, key)
	if err != nil {
		return fmt.Errorf("release the probe of %s %s: %w", scope, key, err)
	}
	return nil
}
