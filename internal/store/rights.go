package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrRights means that the role lacks rights.
var ErrRights = errors.New("the database role lacks rights")

// Audience is whom rights are for.
type Audience string

// The audiences.
const (
	ForDaemon      Audience = "daemon"      // run and run-once
	ForOperator    Audience = "operator"    // people who act: review, pause, prune, events resend, doctor --fix
	ForViewer      Audience = "viewer"      // people who look, and the console without actions
	ForApplication Audience = "application" // the merchant's application

	ForPrune Audience = "prune" // a part of an operator's
)

// right is what an audience may do with one table or function.
type right struct {
	privileges []string
	table      string
	columns    []string // of a right that is for some columns; nil: the whole table
	function   string   // instead of a table: its signature
}

// rightsOf are all that an audience needs, and nothing more.
func rightsOf(audience Audience) []right {
	switch audience {
	case ForDaemon:
		return daemonRights()
	case ForOperator:
		return operatorRights()
	case ForViewer:
		return viewerRights()
	case ForApplication:
		return applicationRights()
	case ForPrune:
		return pruneRights()
	}
	return nil
}

func onTable(table string, privileges ...string) right {
	return right{table: table, privileges: privileges}
}

func onColumns(table, privilege string, columns []string) right {
	return right{table: table, privileges: []string{privilege}, columns: columns}
}

func daemonRights() []right {
	return append([]right{
		onTable(versionTable, "SELECT"),
		onTable("orders", "SELECT"),
		onColumns("orders", "UPDATE", append(queueColumns(), resultColumns()...)),
		onTable("order_queries", "SELECT", "INSERT"),
		onTable("order_events", "SELECT", "INSERT"),
		onTable("event_consumers", "SELECT"),
		onColumns("event_consumers", "UPDATE", []string{"held_by", "held_until"}),
		onTable("gateway_controls", "SELECT", "INSERT", "UPDATE", "DELETE"),
		onTable("gateway_budgets", "SELECT", "INSERT", "UPDATE"),
		onTable("gateway_incidents", "SELECT", "INSERT", "UPDATE"),
		onTable("instances", "SELECT", "INSERT", "UPDATE", "DELETE"),
		onTable("webhook_deliveries", "SELECT", "INSERT", "UPDATE", "DELETE"),
		onTable("operator_actions", "SELECT", "INSERT"), // run-once --despite-pause
	}, eventFunctions()...)
}

func operatorRights() []right {
	return append(viewerRights(),
		onColumns("orders", "UPDATE", slices.Concat(queueColumns(), resultColumns(), []string{"tid", "inst_mid"})),
		onTable("order_queries", "DELETE"),
		onTable("order_events", "INSERT", "DELETE"),
		onTable("gateway_controls", "INSERT", "UPDATE", "DELETE"),
		onTable("gateway_incidents", "INSERT", "UPDATE"),
		onTable("webhook_deliveries", "INSERT", "UPDATE", "DELETE"),
		onTable("operator_actions", "INSERT"),
	)
}

func pruneRights() []right {
	return []right{
		onTable("orders", "SELECT"),
		onTable("order_queries", "SELECT", "DELETE"),
		onTable("order_events", "SELECT", "DELETE"),
		onTable("event_consumers", "SELECT"),
		onTable("webhook_deliveries", "SELECT", "DELETE"),
		onTable("operator_actions", "SELECT", "INSERT"),
	}
}

func viewerRights() []right {
	list := []right{onTable(versionTable, "SELECT")}
	for _, table := range ownTables() {
		list = append(list, onTable(table, "SELECT"))
	}
	return list
}

func applicationRights() []right {
	return append([]right{
		onTable("orders", "SELECT", "INSERT", "UPDATE"),
		onTable("order_events", "SELECT"),
	}, eventFunctions()...)
}

func eventFunctions() []right {
	var list []right
	for _, signature := range []string{
		"register_order_events(text, boolean)", "next_order_events(text, integer)", "ack_order_events(text, xid8, bigint)",
	} {
		list = append(list, right{function: signature, privileges: []string{"EXECUTE"}})
	}
	return list
}

// queueColumns are those by which orders is a queue.
func queueColumns() []string {
	return []string{
		"status", "next_query_at", "query_count", "last_queried_at", "last_error", "lease_until", "claim_no", "claimed_by",
		"review_reason", "review_note", "unrecorded_claims", "updated_at",
	}
}

// resultColumns are those that an answer, or a person, fills.
func resultColumns() []string {
	columns := []string{"mer_order_id", "target_order_id", "settled_at", "settled_by"}
	for _, c := range bookedColumns() {
		columns = append(columns, c.Name)
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

// grantStatement is the GRANT of some of the privileges.
func (r right) grantStatement(schema, role string, privileges []string) string {
	to := " TO " + quoteName(role) + ";"
	if r.function != "" {
		return "GRANT EXECUTE ON FUNCTION " + quoteName(schema) + "." + r.function + to
	}
	list := strings.Join(privileges, ", ")
	if r.columns != nil {
		list += " (" + strings.Join(r.columns, ", ") + ")"
	}
	return "GRANT " + list + " ON " + quoteName(schema) + "." + r.table + to
}

func usageStatement(schema, role string) string {
	return "GRANT USAGE ON SCHEMA " + quoteName(schema) + " TO " + quoteName(role) + ";"
}

func quoteName(name string) string { return pgx.Identifier{name}.Sanitize() }

// Grants are the statements that give a role what an audience needs in a schema.
func Grants(audience Audience, schema, role string) []string {
	list := []string{usageStatement(schema, role)}
	for _, r := range rightsOf(audience) {
		list = append(list, r.grantStatement(schema, role, r.privileges))
	}
	return list
}

// Schema is the schema in force: the first of the search_path that exists, whether the role may use
// it or not. It is "" where none exists.
func (s *Store) Schema(ctx context.Context) (string, error) {
	var schema string
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce((
		    SELECT n.nspname::text
		    FROM regexp_split_to_table(current_setting('search_path'), '\s*,\s*') WITH ORDINALITY AS p(name, place)
		    JOIN pg_namespace AS n ON n.nspname = CASE
		        WHEN p.name = '"$user"' THEN current_user::text
		        WHEN p.name LIKE '"%' THEN replace(trim(BOTH '"' FROM p.name), '""', '"')
		        ELSE lower(p.name) END
		    ORDER BY p.place LIMIT 1), '')`).Scan(&schema)
	if err != nil {
		return "", fmt.Errorf("find the schema: %w", err)
	}
	return schema, nil
}

// CheckRights returns [ErrRights] with the complete list of missing rights, as GRANT statements,
// where our role lacks any that an audience needs. Tables that are not there yet are
// [Store.CheckSchema]'s to judge.
func (s *Store) CheckRights(ctx context.Context, audience Audience) error {
	missing, err := s.MissingRights(ctx, audience)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	if audience == ForPrune {
		audience = ForOperator
	}
	return fmt.Errorf("%w. Run these statements as the owner of the tables (all that it needs: reconciler grants --role ROLE --for %s):\n  %s",
		ErrRights, audience, strings.Join(missing, "\n  "))
}

// MissingRights are the GRANT statements of what our role lacks.
func (s *Store) MissingRights(ctx context.Context, audience Audience) ([]string, error) {
	schema, err := s.Schema(ctx)
	if err != nil || schema == "" {
		return nil, err
	}
	var role string
	var usage bool
	err = s.pool.QueryRow(ctx, `SELECT current_user::text, has_schema_privilege($1, 'USAGE')`, schema).Scan(&role, &usage)
	if err != nil {
		return nil, fmt.Errorf("check the rights: %w", err)
	}
	var missing []string
	if !usage {
		missing = append(missing, usageStatement(schema, role))
	}
	for _, r := range rightsOf(audience) {
		lacking, columns, err := s.lackingPrivileges(ctx, schema, r)
		if err != nil {
			return nil, fmt.Errorf("check the rights: %w", err)
		}
		if len(lacking) > 0 {
			r.columns = columns
			missing = append(missing, r.grantStatement(schema, role, lacking))
		}
	}
	return missing, nil
}

// lackingPrivileges are the privileges, and the columns, that our role lacks of a right.
func (s *Store) lackingPrivileges(ctx context.Context, schema string, r right) (privileges, columns []string, err error) {
	switch {
	case r.function != "":
		err = s.pool.QueryRow(ctx, `
			SELECT coalesce(array_agg('EXECUTE'::text), '{}'), NULL::text[] FROM pg_proc AS p
			WHERE p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
			  AND p.proname = split_part($2, '(', 1) -- by the index: all functions are read else, from disk in a fresh database
			  AND p.proname || '(' || oidvectortypes(p.proargtypes) || ')' = $2
			  AND NOT has_function_privilege(p.oid, 'EXECUTE')`, schema, r.function).Scan(&privileges, &columns)
	case r.columns != nil:
		err = s.pool.QueryRow(ctx, `
			SELECT CASE WHEN count(*) > 0 THEN $4::text[] ELSE '{}' END, array_agg(a.attname::text ORDER BY place)
			FROM pg_class AS c
			JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			JOIN unnest($3::text[]) WITH ORDINALITY AS needed(name, place) ON needed.name = a.attname
			WHERE c.relname = $2 AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
			  AND NOT has_column_privilege(c.oid, a.attnum, ($4::text[])[1])`,
			schema, r.table, r.columns, r.privileges).Scan(&privileges, &columns)
	default:
		err = s.pool.QueryRow(ctx, `
			SELECT coalesce(array_agg(needed.name ORDER BY place), '{}'), NULL::text[]
			FROM pg_class AS c, unnest($3::text[]) WITH ORDINALITY AS needed(name, place)
			WHERE c.relname = $2 AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
			  AND NOT has_table_privilege(c.oid, needed.name)`, schema, r.table, r.privileges).Scan(&privileges, &columns)
	}
	return privileges, columns, err
}
