package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Scope says what a [Control] is about.
type Scope string

// The scopes.
const (
	ScopeApp      Scope = "app" // an app id: everything that is asked with its credentials
	ScopeMerchant Scope = "mid" // one merchant
)

// Breaker is who sets the pauses that nobody set by hand.
const Breaker = "breaker"

// Control is a pause of an app or a merchant, shared by all instances.
type Control struct {
	Scope       Scope      `json:"scope"`
	Key         string     `json:"key"`
	PausedUntil *time.Time `json:"paused_until"` // nil: until somebody resumes
	Reason      string     `json:"reason"`
	SetBy       string     `json:"set_by"`
	SetAt       time.Time  `json:"set_at"`
}

// isInForce is the condition under which a control keeps questions back: it is paused, or the
// breaker's pause is over and its probe has not come back yet. The clock may have been set back: a
// pause of the breaker, or a probe, that ends in more than an hour is over. With @despite only a
// probe in flight keeps questions back.
const isInForce = `(` + isProbed + ` OR NOT @despite AND ` + isPaused + `)`

const isPaused = `(c.paused_until IS NULL OR c.paused_until > now() AND (c.set_by <> 'breaker' OR c.paused_until <= now() + interval '1 hour'))`

// isProbed reports that the probe of a pause of the breaker is in flight.
const isProbed = `(c.set_by = 'breaker' AND coalesce(c.probe_until > now() AND c.probe_until <= now() + interval '1 hour', false))`

// isHalfOpen reports that a pause of the breaker is over, or is to be broken, and waits for its
// probe.
const isHalfOpen = `(c.set_by = 'breaker' AND NOT ` + isProbed + ` AND (@despite OR NOT ` + isPaused + `))`

// inForce is [isInForce] without @despite.
const inForce = `(` + isProbed + ` OR ` + isPaused + `)`

// Controls lists the pauses that are in force.
func (s *Store) Controls(ctx context.Context) ([]Control, error) {
	return s.readControls(ctx, inForce)
}

// HalfOpenControls lists the pauses of the breaker that have ended and wait for their probe.
func (s *Store) HalfOpenControls(ctx context.Context) ([]Control, error) {
	return s.readControls(ctx, `c.set_by = 'breaker' AND c.paused_until <= now() AND NOT `+inForce)
}

func (s *Store) readControls(ctx context.Context, where string, args ...any) ([]Control, error) {
	list, err := collectRows[Control](ctx, s.pool, `
		SELECT c.scope, c.key,
		       CASE WHEN isfinite(c.paused_until) THEN c.paused_until END AS paused_until,
		       c.reason, c.set_by, c.set_at
		FROM gateway_controls AS c
		WHERE `+where+`
		ORDER BY c.scope, c.key`, args...)
	if err != nil {
		return nil, fmt.Errorf("read the pauses: %w", err)
	}
	return list, nil
}

// tokensNow is the level of the bucket b: it fills at @rate up to @burst. The clock may have been
// set back: a refill in the future was now.
const tokensNow = `least(@burst::float8, b.tokens + @rate::float8 *
    CASE WHEN b.refilled_at > clock_timestamp() THEN 0
         WHEN b.refilled_at < clock_timestamp() - interval '1 day' THEN 86400
         ELSE extract(epoch FROM clock_timestamp() - b.refilled_at)::float8 END)`

// burstOf is how much the bucket of a rate holds: a fifth of a second's worth. So no five seconds
// see more than a tenth above the rate, with some room for the time from a claim to its request.
func burstOf(rate float64) float64 { return max(1, rate/5) }

// OpenBudget makes the app's budget where there is none.
func (s *Store) OpenBudget(ctx context.Context, app string, rate float64) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO gateway_budgets (app_id, tokens, refilled_at)
		VALUES ($1, $2, clock_timestamp())
		ON CONFLICT (app_id) DO NOTHING`, app, burstOf(rate))
	if err != nil {
		return fmt.Errorf("open the budget: %w", err)
	}
	return nil
}

// Reserve takes one round trip from the app's budget and returns how long to wait before it may
// begin.
func (s *Store) Reserve(ctx context.Context, app string, rate float64) (time.Duration, error) {
	var tokens float64
	err := s.pool.QueryRow(ctx, `
		UPDATE gateway_budgets AS b
		SET tokens = `+tokensNow+` - 1, refilled_at = clock_timestamp()
		WHERE b.app_id = @app
		RETURNING b.tokens`,
		pgx.StrictNamedArgs{"app": app, "rate": rate, "burst": burstOf(rate)}).Scan(&tokens)
	if err != nil {
		return 0, fmt.Errorf("reserve a round trip: %w", err)
	}
	return time.Duration(max(0, -tokens) / rate * float64(time.Second)), nil
}
