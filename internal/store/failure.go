package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// FailureReason tells why a write failed, in the words of the metric
// reconciler_write_failures_total: rights, read_only, room, connection, locked, refused. It is ""
// without an error.
func FailureReason(err error) string {
	if err == nil {
		return ""
	}
	switch {
	case isQueueFull(err), lacksNumbers(err):
		return "room"
	case lacksIdentity(err):
		return "refused"
	}
	switch code := sqlState(err); code {
	case "": // no server has answered
		return "connection"
	case "25006":
		return "read_only"
	case "53300":
		return "connection" // too many of them
	case "58030": // input/output error of a disk
		return "room"
	case "55P03":
		return "locked"
	default:
		switch stateClass(code) {
		case "40": // deadlock, serialization
			return "locked"
		case "42":
			return "rights"
		case "53":
			return "room"
		case "08", "57", "58":
			return "connection"
		}
		return "refused"
	}
}

// sqlState is the server's code of an error; "" where a server has not answered, or has refused the
// connection. An answer without a code counts as 00000.
func sqlState(err error) string {
	pgErr, found := errors.AsType[*pgconn.PgError](err)
	if !found || errors.As(err, new(*pgconn.ConnectError)) {
		return ""
	}
	return cmp.Or(pgErr.Code, "00000")
}

// stateClass is the first two characters of a code.
func stateClass(code string) string { return code[:min(2, len(code))] }

// isOfOneRow reports whether a row of the statement caused the error, by its values, by a trigger,
// by a constraint or by a policy. Triggers may raise any code, so every class counts that is not
// about the session, the server or the schema. A code of rights, and a publication, count where the
// row brought them about. So does a statement that took too long.
func isOfOneRow(err error) bool {
	if isQueueFull(err) || lacksNumbers(err) {
		return false // the code is that of a value too large
	}
	state := sqlState(err)
	pgErr, found := errors.AsType[*pgconn.PgError](err)
	if found && (stateClass(state) == "42" || lacksIdentity(err) || state == queryCanceled) {
		// The context of an error names the functions that were running: a trigger's, as a rule. No
		// function runs where a policy's WITH CHECK refuses a row; the place in the server tells.
		return functionContext(pgErr) != "" || pgErr.Routine == "ExecWithCheckOptions"
	}
	about := []string{"", "00", "08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "57", "58", "F0"}
	return !slices.Contains(about, stateClass(state))
}

// lockWait is the longest wait of a statement for a lock. Locked orders are skipped. This is for
// the locks that a trigger of the shop's takes, and for a number that a transaction under way has
// taken. One such row must not stop the others.
type lockWait string

const (
	usualWait   lockWait = "200ms"
	hastyWait   lockWait = "20ms" // beside many rows that wait
	patientWait lockWait = "0"    // for a commit; as long as the caller waits
)

// condition holds always, and sets the wait of its statement.
func (w lockWait) condition() string { return beginLockWait + string(w) + endLockWait }

const (
	// boundLockWait is the condition of the usual wait.
	boundLockWait = beginLockWait + string(usualWait) + endLockWait

	beginLockWait = `(SELECT set_config('lock_timeout', '`
	endLockWait   = `', true)) IS NOT NULL`
)

// isCommitWait reports that a statement waited too long for a lock that no row is about. The
// listeners' queue has one: a commit with a NOTIFY waits for all others of the server, which can
// take long with a distant standby. The context of an error names the row or the trigger that
// another lock is about.
func isCommitWait(err error) bool {
	pgErr, found := errors.AsType[*pgconn.PgError](err)
	return found && isLockTimeout(err) && functionContext(pgErr) == ""
}

// isQueueFull reports that a commit with a NOTIFY found no room in the listeners' queue, which all
// databases of the server share. A session that listens holds a transaction open.
func isQueueFull(err error) bool {
	return sqlState(err) == "54000" && serverRoutine(err) == "PreCommit_Notify"
}

// lacksIdentity reports that a table is in a publication that sends its updates, and has nothing to
// tell its rows apart by. No row of it can be updated, and none of its parent's.
func lacksIdentity(err error) bool {
	return serverRoutine(err) == "CheckCmdReplicaIdentity"
}

// lacksNumbers reports that the server has no transaction numbers left: vacuum was kept back for
// too long.
func lacksNumbers(err error) bool {
	return slices.Contains([]string{"GetNewTransactionId", "GetNewMultiXactId"}, serverRoutine(err))
}

// serverRoutine is the place in the server's source that raised an error, "" where none did. It
// tells apart what has one code.
func serverRoutine(err error) string {
	if pgErr, found := errors.AsType[*pgconn.PgError](err); found {
		return pgErr.Routine
	}
	return ""
}

// queryCanceled is the code of a statement that took too long, or that a person ended.
const queryCanceled = "57014"

// timeLimit bounds the next statement of a transaction, its commit excepted.
func timeLimit(limit time.Duration) string {
	return fmt.Sprintf(`set_config('statement_timeout', '%dms', true)`, limit.Milliseconds())
}

// nameFunction adds the function that was running when a statement took too long.
func nameFunction(err error) error {
	pgErr, found := errors.AsType[*pgconn.PgError](err)
	if !found || pgErr.Code != queryCanceled || functionContext(pgErr) == "" {
		return err
	}
	return fmt.Errorf("%w, in %s", err, strings.ReplaceAll(functionContext(pgErr), "\n", ", in "))
}

// functionContext is the context of an error without the statement's parameters, which the server
// adds at the end where log_parameter_max_length_on_error is set. They say nothing of functions,
// and hold whole answers. Their text is in the server's language; no other begins with a first
// value.
func functionContext(pgErr *pgconn.PgError) string {
	return regexp.MustCompile(`(?s)(^|\n)[^\n"]*: (« )?\$1 = .*`).ReplaceAllString(pgErr.Where, "")
}

// isLockTimeout reports whether the statement gave up waiting for a lock.
func isLockTimeout(err error) bool { return sqlState(err) == "55P03" }

// isValueError reports whether the values were refused: data exceptions, such as a NUL character or
// a number out of range, constraints, and texts that are too long for an index.
func isValueError(err error) bool {
	if pgErr, found := errors.AsType[*pgconn.PgError](err); found && pgErr.Code == "54000" {
		// The code alone would not do: a commit has it too where the listeners' queue is full.
		return strings.HasPrefix(pgErr.Routine, "index_form_tuple") || pgErr.Routine == "_bt_check_third_page"
	}
	refused := stateClass(sqlState(err))
	return refused == "22" || refused == "23"
}

// IsDuplicate reports whether a value stands in another row already, such as an order's number.
func IsDuplicate(err error) bool { return sqlState(err) == "23505" }

// LacksRight reports whether the role may not do what a statement does, or not connect.
func LacksRight(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "42501"
}

// IsTimeout reports whether a statement was ended because it took too long.
func IsTimeout(err error) bool { return sqlState(err) == queryCanceled || isLockTimeout(err) }

// IsUnavailable reports whether the server could not be asked, or gave up: it cannot be reached,
// has gone, or ended the statement. What a row's own values caused is not that, and neither is a
// refusal of this package.
func IsUnavailable(err error) bool {
	if errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, new(net.Error)) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	return errors.As(err, new(*pgconn.PgError)) && IsTransient(err)
}
