package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrSearchPath means that a session has another search_path than its database URL asks for.
var ErrSearchPath = errors.New("the session has another search_path than the database URL asks for")

// checkSearchPath refuses a session in another schema than the URL says. A pooler may drop what it
// is told to ignore, and the tables of the same names there could be anybody's.
func checkSearchPath(ctx context.Context, conn *pgx.Conn) error {
	wanted := wantedPath(conn.Config().RuntimeParams)
	if wanted == "" {
		return nil
	}
	var path string
	if err := conn.QueryRow(ctx, "SELECT current_setting('search_path')", pgx.QueryExecModeExec).Scan(&path); err != nil {
		return err
	}
	if plainPath(path) == plainPath(wanted) {
		return nil
	}
	return fmt.Errorf("%w: %s, not %s. A pooler drops it (pgbouncer: ignore_startup_parameters). "+
		"Leave it out of the URL, and set it with ALTER ROLE … SET search_path", ErrSearchPath, path, wanted)
}

// wantedPath is the search_path among the parameters of a connection, "" where none is. One of its
// own beats one in the options, as at the server.
func wantedPath(params map[string]string) string {
	for name, value := range params {
		if strings.EqualFold(name, "search_path") {
			return value
		}
	}
	option := regexp.MustCompile(`(?i)(?:^|\s)(?:-c\s*|--)search[_-]path=((?:\\.|[^\s\\])*)`)
	found := option.FindAllStringSubmatch(params["options"], -1)
	if len(found) == 0 {
		return ""
	}
	last := found[len(found)-1][1]
	return regexp.MustCompile(`\\(.)`).ReplaceAllString(last, "$1")
}

// plainPath is a search_path without what poolers write in another way.
func plainPath(path string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", `"`, "").Replace(path))
}
