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
}

// PauseByBreaker opens the breaker of an app or a merchant. A pause by a person that is in force
// stays as it is.
func (s *Store) PauseByBreaker(ctx context.Context, p BreakerPause) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO gateway_controls AS c (scope, key, paused_until, reason, set_by, failed_order_id, failed_mid)
		VALUES ($1, $2, now() + $3::interval, $4, 'breaker', nullif($5, 0::bigint), nullif($6, ''))
		ON CONFLICT (scope, key) DO UPDATE
		SET paused_until = excluded.paused_until, reason = excluded.reason, set_by = 'breaker', set_at = now(), probe_until = NULL,
		    failed_order_id = excluded.failed_order_id, failed_mid = excluded.failed_mid
		WHERE c.set_by = 'breaker' OR c.paused_until <= now()`, p.Scope, p.Key, p.For, safe(p.Cause), p.FailedOrderID, p.FailedMID)
	if err != nil {
		return fmt.Errorf("pause %s %s: %w", p.Scope, p.Key, err)
	}
	return nil
}

// ResumeByBreaker ends a pause of the breaker whose probe came back well, and returns how long the
// trouble lasted. Another pause, made by a person or meanwhile by the breaker, stays.
func (s *Store) ResumeByBreaker(ctx context.Context, scope Scope, key string) (resumed bool, after time.Duration, err error) {
	var setAt, now time.Time
	err = s.pool.QueryRow(ctx, `
		DELETE FROM gateway_controls
		WHERE scope = $1 AND key = $2 AND set_by = 'breaker' AND paused_until <= now()
		RETURNING set_at, now()`, scope, key).Scan(&setAt, &now)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, 0, nil
	case err != nil:
		return false, 0, fmt.Errorf("resume %s %s: %w", scope, key, err)
	}
	return true, now.Sub(setAt), nil
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

// Trip is [Store.PauseByBreaker] under its old name.
func (s *Store) Trip(ctx context.Context, scope Scope, key, reason string, pause time.Duration) error {
	return s.PauseByBreaker(ctx, BreakerPause{Scope: scope, Key: key, Cause: reason, For: pause})
}

// Heal is [Store.ResumeByBreaker] under its old name.
func (s *Store) Heal(ctx context.Context, scope Scope, key string) error {
	_, _, err := s.ResumeByBreaker(ctx, scope, key)
	return err
}

// EndProbe is [Store.ReleaseProbe] under its old name.
func (s *Store) EndProbe(ctx context.Context, scope Scope, key string) error {
	return s.ReleaseProbe(ctx, scope, key)
}
