package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PausedError means that another person's pause is in force. Nothing was written.
type PausedError struct{ Control Control }

func (e *PausedError) Error() string {
	return fmt.Sprintf("%s %s is paused already, by %s since %s: %s", e.Control.Scope, e.Control.Key, e.Control.SetBy,
		e.Control.SetAt.Format(time.RFC3339), e.Control.Reason)
}

// ErrPauseChanged means that the pause is not as it was shown any more. Nothing was written.
var ErrPauseChanged = errors.New("the pause has changed meanwhile")

// ShownPause is a pause as a person saw it; a nil control is none.
type ShownPause struct{ Control *Control }

// stillHolds reports whether the pause is as it was shown. Who was shown nothing agrees with
// everything.
func (s *ShownPause) stillHolds(now *Control) bool {
	if s == nil {
		return true
	}
	if s.Control == nil || now == nil {
		return s.Control == now
	}
	return s.Control.SetBy == now.SetBy && s.Control.SetAt.Equal(now.SetAt) && s.Control.Reason == now.Reason
}

// PersonPause is a pause that a person sets.
type PersonPause struct {
	Control Control     // SetBy is the person
	Replace bool        // another person's pause too
	Shown   *ShownPause // nil: the person was not shown any
	Action  Action      // its scope, key, before and after are filled in
}

// tracedControl is what an action keeps of a pause.
const tracedControl = `jsonb_build_object('paused_until', c.paused_until, 'reason', c.reason, 'set_by', c.set_by, 'set_at', c.set_at)`

// PauseByPerson pauses, opens an incident and records the action in one transaction. It returns a
// [PausedError] where another person's pause is in force, unless that one is to be replaced. The
// breaker's own pause is replaced.
func (s *Store) PauseByPerson(ctx context.Context, p PersonPause) (Trace, error) {
	var t Trace
	c := p.Control
	err := s.changePause(ctx, c.Scope, c.Key, func(tx pgx.Tx) error {
		former, err := lockControl(ctx, tx, c.Scope, c.Key, &t)
		if err != nil {
			return err
		}
		if !p.Shown.stillHolds(former) {
			return ErrPauseChanged
		}
		if former != nil && former.SetBy != Breaker && former.SetBy != c.SetBy && !p.Replace {
			return &PausedError{*former}
		}
		if err := endIncident(ctx, tx, c.Scope, c.Key, c.SetBy); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			INSERT INTO gateway_controls AS c (scope, key, paused_until, reason, set_by)
			VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (scope, key) DO UPDATE
			SET paused_until = excluded.paused_until, reason = excluded.reason, set_by = excluded.set_by, set_at = now(),
			    probe_until = NULL, failed_order_id = NULL, failed_mid = NULL
			RETURNING `+tracedControl, c.Scope, c.Key, c.PausedUntil, validText(c.Reason), validText(c.SetBy)).Scan(&t.After)
		if err != nil {
			return err
		}
		if err := openIncident(ctx, tx, Incident{Scope: c.Scope, Key: c.Key, Cause: c.Reason, OpenedBy: c.SetBy}); err != nil {
			return err
		}
		return p.Action.recordPauseAction(ctx, tx, c, &t)
	})
	if err != nil {
		return Trace{}, fmt.Errorf("pause: %w", err)
	}
	return t, nil
}

// ResumeByPerson ends anybody's pause, with its incident, and records the action in one
// transaction. It returns the pause that it ended, nil where there was none. It returns
// [ErrPauseChanged] where the pause is another one than the person was shown; nil: they were shown
// none.
func (s *Store) ResumeByPerson(ctx context.Context, scope Scope, key string, shown *ShownPause, a Action) (former *Control, t Trace, err error) {
	err = s.changePause(ctx, scope, key, func(tx pgx.Tx) error {
		if former, err = lockControl(ctx, tx, scope, key, &t); err != nil || former == nil {
			return err
		}
		if !shown.stillHolds(former) {
			return ErrPauseChanged
		}
		if _, err := tx.Exec(ctx, `DELETE FROM gateway_controls WHERE scope = $1 AND key = $2`, scope, key); err != nil {
			return err
		}
		if err := endIncident(ctx, tx, scope, key, a.Actor); err != nil {
			return err
		}
		return a.recordPauseAction(ctx, tx, *former, &t)
	})
	if err != nil {
		return nil, Trace{}, fmt.Errorf("resume: %w", err)
	}
	return former, t, nil
}

// changePause lets one person at a time change the pause of an app or a merchant. A row that does
// not exist yet cannot be locked.
func (s *Store) changePause(ctx context.Context, scope Scope, key string, do func(pgx.Tx) error) error {
	begin := pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '10s'"}
	return s.pool.inTx(ctx, begin, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('reconciler pause ' || $1 || ' ' || $2, 0))`, string(scope), key)
		if err == nil { // the row before its incident, as the breaker does, also where the pause is over
			_, err = tx.Exec(ctx, `SELECT FROM gateway_controls WHERE scope = $1 AND key = $2 FOR UPDATE`, scope, key)
		}
		if err != nil {
			return err
		}
		return do(tx)
	})
}

const selectStanding = `
		SELECT c.scope, c.key, CASE WHEN isfinite(c.paused_until) THEN c.paused_until END, c.reason, c.set_by, c.set_at, ` + tracedControl + `
		FROM gateway_controls AS c
		-- A pause of the breaker that is over stands until its probe is answered.
		WHERE c.scope = $1 AND c.key = $2 AND (c.set_by = 'breaker' OR c.paused_until IS NULL OR c.paused_until > now())`

// StandingPause is the pause of an app or a merchant as a person is shown it.
func (s *Store) StandingPause(ctx context.Context, scope Scope, key string) (*ShownPause, error) {
	var c Control
	var traced []byte
	err := s.pool.QueryRow(ctx, selectStanding, scope, key).Scan(&c.Scope, &c.Key, &c.PausedUntil, &c.Reason, &c.SetBy, &c.SetAt, &traced)
	if errors.Is(err, pgx.ErrNoRows) {
		return &ShownPause{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pause: %w", err)
	}
	return &ShownPause{&c}, nil
}

// lockControl returns the pause in force, nil where there is none.
func lockControl(ctx context.Context, tx pgx.Tx, scope Scope, key string, t *Trace) (*Control, error) {
	var c Control
	err := tx.QueryRow(ctx, selectStanding+` FOR UPDATE`, scope, key).Scan(&c.Scope, &c.Key, &c.PausedUntil, &c.Reason, &c.SetBy, &c.SetAt, &t.Before)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &c, err
}

// endIncident ends the incident that goes on. Those of pauses that are over ended with them.
func endIncident(ctx context.Context, tx pgx.Tx, scope Scope, key, by string) error {
	if _, err := tx.Exec(ctx, endLapsed); err != nil {
		return err
	}
	_, err := closeIncident(ctx, tx, scope, key, by)
	return err
}

// recordPauseAction records an action about a pause.
func (a Action) recordPauseAction(ctx context.Context, tx pgx.Tx, c Control, t *Trace) (err error) {
	a.Scope, a.Key, a.Before, a.After = string(c.Scope), c.Key, t.Before, t.After
	t.ActionID, err = addAction(ctx, tx, a)
	return err
}

// HasMerchant reports whether any order is of a merchant. It looks at the open orders first. The
// rest has no index by merchant, so it may end with an error after five seconds.
func (s *Store) HasMerchant(ctx context.Context, mid string) (bool, error) {
	var found bool
	err := s.readAtOnce(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM orders AS o WHERE `+isQueued+` AND o.mid = $1)`, mid).Scan(&found)
		if err != nil || found {
			return err
		}
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM orders WHERE mid = $1)`, mid).Scan(&found)
	})
	if err != nil {
		return false, fmt.Errorf("look for orders of merchant %s: %w", mid, err)
	}
	return found, nil
}
