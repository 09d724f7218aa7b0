package store

import (
	"context"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
)

// BacklogSQL lets the tests explain the backlog.
const BacklogSQL = backlogSQL

// ClaimSQL lets the tests explain the claim.
func ClaimSQL(c Claim) (string, pgx.NamedArgs) {
	plan := c.plan()
	return plan.text, plan.args
}

// Guidance is for a claim of due orders.
const Guidance = "SELECT " + guidance

// LimitTimes makes slow triggers known as such sooner.
func (s *Store) LimitTimes(together, alone time.Duration) {
	s.maxTogether, s.maxAlone = together, alone
}

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

// MissingClaimArgs returns the named arguments that the statements of a claim lack.
func MissingClaimArgs(c Claim) (missing []string) {
	text, args := c.page()
	plans := append(c.peekPlans(), c.plan(), c.probesPlan(), c.onePlan(1), claimPlan{text: text, args: args})
	for _, plan := range plans {
		for _, name := range regexp.MustCompile(`@([a-z_]+)`).FindAllStringSubmatch(plan.text, -1) {
			if _, given := plan.args[name[1]]; !given {
				missing = append(missing, name[1])
			}
		}
	}
	return missing
}

// FindSQL finds orders by one of the conditions.
func FindSQL(where string) string { return findSQL(where) }

// LearnedSQL counts what was learned.
const LearnedSQL = learnedSQL

// The conditions by which a person's number finds an order.
const (
	HasMerchantNumber = hasMerchantNumber
	HasChannelNumber  = hasChannelNumber
	HasReference      = hasReference
)

// LookSetting is a setting of the server while people look.
func (s *Store) LookSetting(ctx context.Context, name string) (value string, err error) {
	err = s.readAtOnce(ctx, func(tx pgx.Tx) error { return tx.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&value) })
	return value, err
}
