package store

import "github.com/jackc/pgx/v5"

// BacklogSQL lets the tests explain the backlog.
const BacklogSQL = backlogSQL

// ClaimSQL lets the tests explain the claim.
func ClaimSQL(c Claim) (string, pgx.StrictNamedArgs) { return c.statement() }
