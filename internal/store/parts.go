package store

import (
	"context"
	"io/fs"
	"regexp"

	"reconciler/migrations"
)

// MissingPart is a partial index or a trigger that a table lacks, or that is not in force.
type MissingPart struct {
	Table, Name string
	Qualified   string // the table with its schema, as SQL writes both
	Home        string // the schema of orders
	Trigger     bool
	Stands      bool // it is there: a trigger that is disabled, an index whose build was broken off
	OfRoot      bool // orders itself lacks it
	Root        bool // the table is orders
	Partitioned bool
	Partition   bool
}

// String is "table: name".
func (m MissingPart) String() string { return m.Table + ": " + m.Name }

// MissingParts lists the partial indexes and the triggers that orders, a child or a partition lacks,
// or that are not in force.
func (s *Store) MissingParts(ctx context.Context) ([]MissingPart, error) {
	return lookRows[MissingPart](ctx, s, "check the indexes", orderTables+`,
		wanted AS (
		    SELECT name, (
		        SELECT regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING ', '') FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
		        WHERE x.indrelid = 'orders'::regclass AND i.relname = name AND x.indisvalid
		    ) AS definition
		    FROM unnest(ARRAY['orders_due', 'orders_due_by_merchant', 'orders_review', 'orders_orphans', 'orders_open', 'orders_target_order',
		        'orders_reference', 'orders_serial', 'orders_learned']) AS name
		), missing AS (
		    SELECT c.oid, name, false AS trigger, definition IS NULL AS of_root,
		           EXISTS (SELECT FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid AND i.relname = name) AS stands
		    FROM tree JOIN pg_class AS c ON c.oid = tree.oid AND c.relkind IN ('r', 'p'), wanted
		    WHERE NOT EXISTS (
		        SELECT FROM pg_index AS x WHERE x.indrelid = c.oid AND x.indisvalid
		          AND regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING ', '') = definition)
		    UNION ALL
		    SELECT c.oid, name, true, NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = 'orders'::regclass AND g.tgname = name),
		           EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND g.tgname = name)
		    FROM tree JOIN pg_class AS c ON c.oid = tree.oid AND c.relkind IN ('r', 'p'),
		         unnest(ARRAY['zz_orders_stay_due', 'zz_orders_stay_settled']) AS name
		    WHERE NOT EXISTS (
		        SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND g.tgname = name AND g.tgenabled IN ('O', 'A'))
		)
		SELECT c.oid::regclass::text AS "table", m.name::text, format('%I.%I', s.nspname, c.relname) AS qualified,
		       (SELECT format('%I', n.nspname) FROM pg_class AS r JOIN pg_namespace AS n ON n.oid = r.relnamespace WHERE r.oid = 'orders'::regclass) AS home,
		       m.trigger, m.stands, m.of_root, c.oid = 'orders'::regclass AS root, c.relkind = 'p' AS partitioned, c.relispartition AS partition
		FROM missing AS m JOIN pg_class AS c ON c.oid = m.oid JOIN pg_namespace AS s ON s.oid = c.relnamespace
		ORDER BY c.oid::regclass::text || ': ' || m.name`)
}

// Statements put the part where it is missing, as the migrations do. There are none for a partition
// that gets it from orders.
func (m MissingPart) Statements() []string {
	switch {
	case m.Trigger && m.Stands:
		return []string{"ALTER TABLE " + m.Qualified + " ENABLE TRIGGER " + m.Name + ";"}
	case m.Partition && m.OfRoot:
		return nil
	case m.Trigger:
		head, tail, function := definedAs(`(CREATE TRIGGER ` + m.Name + ` [^;]*? ON )\S+( FOR EACH ROW\s[^;]*?EXECUTE FUNCTION )(\w+\(\))`)
		return []string{head + m.Qualified + tail + m.Home + "." + function + ";"}
	}
	_, _, columns := definedAs(`(CREATE INDEX )(CONCURRENTLY )?` + m.Name + ` ON orders( [^;]*);`)
	build, list := "CREATE INDEX CONCURRENTLY ", []string(nil)
	if m.Partitioned {
		build = "CREATE INDEX " // Postgres builds none of a partitioned table beside the application
	}
	if m.Stands {
		list = []string{"DROP INDEX " + m.Home + "." + m.Name + ";"} // what a build that was broken off left
	}
	if m.Root {
		build += m.Name + " "
	}
	return append(list, build+"ON "+m.Qualified+columns+";")
}

// definedAs finds three groups of a pattern in the migrations, on one line each.
func definedAs(pattern string) (_, _, _ string) {
	search, space := regexp.MustCompile(pattern), regexp.MustCompile(`\s+`)
	names, _ := fs.Glob(migrations.FS, "*.sql") // the pattern is good
	for _, name := range names {
		content, _ := fs.ReadFile(migrations.FS, name)
		if found := search.FindStringSubmatch(space.ReplaceAllString(string(content), " ")); found != nil {
			return found[1], found[2], found[3]
		}
	}
	return "", "", ""
}
