package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// BacklogSQL lets the tests explain the backlog.
const BacklogSQL = backlogSQL

// ClaimSQL lets the tests explain the claim.
func ClaimSQL(c Claim) (string, pgx.StrictNamedArgs) { return c.statement() }

// Exec lets the tests do something to a connection of the store's own.
func (s *Store) Exec(ctx context.Context, sql string) error {
	_, err := s.pool.Exec(ctx, sql)
	return err
}

// Setting is a setting of a session of the store's own.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&value)
	return value, err
}
