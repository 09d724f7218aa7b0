package store

import "github.com/jackc/pgx/v5"

// ClaimSQL lets the tests explain the claim.
func ClaimSQL(c Claim) (string, pgx.StrictNamedArgs) { return c.statement() }
