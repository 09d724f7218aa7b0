package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Action is a row of operator_actions: what a person did. Texts that are null are "".
type Action struct {
	ID       int64
	At       time.Time
	Actor    string
	DBUser   string
	Via      string // "cli" or "console"
	Action   string
	OrderID  *int64
	Scope    string
	Key      string
	Reason   string
	Evidence string
	Before   json.RawMessage // nil: none
	After    json.RawMessage
}

// ActionFilter narrows a list of actions. Zero fields do not.
type ActionFilter struct {
	Since   *time.Time
	Actor   string
	Action  string
	OrderID int64
	Below   int64 // only ids below this one
	Limit   int
}

const actionColumns = `a.id, a.at, a.actor, a.db_user, a.via, a.action, a.order_id, coalesce(a.scope, '') AS scope,
	coalesce(a.key, '') AS key, coalesce(a.reason, '') AS reason, coalesce(a.evidence, '') AS evidence, a.before, a.after`

// Actions lists what people did, the latest first.
func (s *Store) Actions(ctx context.Context, f ActionFilter) ([]Action, error) {
	return lookRows[Action](ctx, s, "read the actions", `
		SELECT `+actionColumns+` FROM operator_actions AS a
		WHERE ($1::timestamptz IS NULL OR a.at >= $1)
		  AND ($2 = '' OR a.actor = $2)
		  AND ($3 = '' OR a.action = $3)
		  AND ($4::bigint = 0 OR a.order_id = $4)
		  AND ($5::bigint = 0 OR a.id < $5)
		ORDER BY a.id DESC LIMIT $6`, f.Since, f.Actor, f.Action, f.OrderID, f.Below, f.Limit)
}

// AddAction records what a person did, where the deed itself has no transaction of its own.
func (s *Store) AddAction(ctx context.Context, a Action) (int64, error) {
	id, err := addAction(ctx, s.pool, a)
	if err != nil {
		return 0, fmt.Errorf("record the action: %w", err)
	}
	return id, nil
}

// addAction returns the number of the new row.
func addAction(ctx context.Context, db queryer, a Action) (int64, error) {
	var id int64
	err := db.QueryRow(ctx, `
		INSERT INTO operator_actions (actor, via, action, order_id, scope, key, reason, evidence, before, after)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`,
		validText(a.Actor), a.Via, a.Action, a.OrderID, orNull(a.Scope), orNull(validText(a.Key)), orNull(validText(a.Reason)),
		orNull(validText(a.Evidence)), jsonText(a.Before), jsonText(a.After)).Scan(&id)
	return id, err
}

// jsonText is a document as the driver sends it; an empty one is null.
func jsonText(document json.RawMessage) *string { return orNull(string(document)) }
