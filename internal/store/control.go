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
	Scope       Scope
	Key         string
	PausedUntil *time.Time // nil: until somebody resumes
	Reason      string
	SetBy       string
	SetAt       time.Time
}

// Standing says why a claim brings nothing, when it is not for want of due orders.
type Standing struct {
	// Blocked is the pause of the app that is in force, or whose probe is in flight.
	Blocked *Control
	// Tokens is the budget's level.
	Tokens float64
}

// inForce is the condition under which a control keeps questions back: it is
// paused, or the breaker's pause is over and its probe has not come back yet.
const inForce = `(c.paused_until IS NULL OR c.paused_until > now() OR (c.set_by = 'breaker' AND coalesce(c.probe_until > now(), false)))`

// Standing reads the standing of an app.
func (s *Store) Standing(ctx context.Context, app string, rate float64) (Standing, error) {
	var standing Standing
	err := s.pool.QueryRow(ctx, `SELECT coalesce((SELECT `+tokensNow+` FROM gateway_budgets AS b WHERE b.app_id = @app), 1)`,
		pgx.NamedArgs{"app": app, "rate": rate, "burst": burst(rate)}).Scan(&standing.Tokens)
	if err != nil {
		return Standing{}, fmt.Errorf("read the budget: %w", err)
	}
	blocked, err := s.controls(ctx, `c.scope = 'app' AND c.key = $1 AND `+inForce, app)
	if err != nil {
		return Standing{}, err
	}
	if len(blocked) > 0 {
		standing.Blocked = &blocked[0]
	}
	return standing, nil
}

// Controls lists the pauses that are in force.
func (s *Store) Controls(ctx context.Context) ([]Control, error) {
	return s.controls(ctx, inForce)
}

func (s *Store) controls(ctx context.Context, where string, args ...any) ([]Control, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT c.scope, c.key,
		       CASE WHEN isfinite(c.paused_until) THEN c.paused_until END AS paused_until,
		       c.reason, c.set_by, c.set_at
		FROM gateway_controls AS c
		WHERE `+where+`
		ORDER BY c.scope, c.key`, args...)
	if err != nil {
		return nil, fmt.Errorf("read the pauses: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Control])
	if err != nil {
		return nil, fmt.Errorf("read the pauses: %w", err)
	}
	return list, nil
}

// Pause pauses by hand, over whatever pause there is. A nil until lasts until
// [Store.Resume].
func (s *Store) Pause(ctx context.Context, c Control) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO gateway_controls (scope, key, paused_until, reason, set_by)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (scope, key) DO UPDATE
		SET paused_until = excluded.paused_until, reason = excluded.reason, set_by = excluded.set_by, set_at = now(), probe_until = NULL`,
		c.Scope, c.Key, c.PausedUntil, c.Reason, c.SetBy)
	if err != nil {
		return fmt.Errorf("pause %s %s: %w", c.Scope, c.Key, err)
	}
	return nil
}

// Resume ends a pause, whoever made it, and reports whether there was one.
func (s *Store) Resume(ctx context.Context, scope Scope, key string) (bool, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM gateway_controls WHERE scope = $1 AND key = $2`, scope, key)
	if err != nil {
		return false, fmt.Errorf("resume %s %s: %w", scope, key, err)
	}
	return tag.RowsAffected() > 0, nil
}

// tokensNow is the level of the bucket b: it fills at @rate up to @burst.
const tokensNow = `least(@burst::float8, b.tokens + extract(epoch FROM clock_timestamp() - b.refilled_at) * @rate::float8)`

// burst is how much the bucket of a rate holds: a fifth of a second's worth, so
// that no five seconds see more than a tenth above the rate, with some room for
// the time from a claim to its request.
func burst(rate float64) float64 { return max(1, rate/5) }

// OpenBudget makes the app's budget where there is none.
func (s *Store) OpenBudget(ctx context.Context, app string, rate float64) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO gateway_budgets (app_id, tokens, refilled_at)
		VALUES ($1, $2, clock_timestamp())
		ON CONFLICT (app_id) DO NOTHING`, app, burst(rate))
	if err != nil {
		return fmt.Errorf("open the budget: %w", err)
	}
	return nil
}

// Reserve takes one round trip from the app's budget and returns how long to
// wait before it may begin.
func (s *Store) Reserve(ctx context.Context, app string, rate float64) (time.Duration, error) {
	var tokens float64
	err := s.pool.QueryRow(ctx, `
		UPDATE gateway_budgets AS b
		SET tokens = `+tokensNow+` - 1, refilled_at = clock_timestamp()
		WHERE b.app_id = @app
		RETURNING b.tokens`,
		pgx.StrictNamedArgs{"app": app, "rate": rate, "burst": burst(rate)}).Scan(&tokens)
	if err != nil {
		return 0, fmt.Errorf("reserve a round trip: %w", err)
	}
	return time.Duration(max(0, -tokens) / rate * float64(time.Second)), nil
}
