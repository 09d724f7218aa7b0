package store

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// parseURL reads a database URL. Its errors are in our own words: a password that is badly written
// can end up in any part of what the driver read, and so in the driver's words.
func parseURL(url string) (*pgxpool.Config, target, error) {
	unsafe, err := checkForm(url)
	if err != nil {
		return nil, target{}, err
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, target{}, errors.New(parseTrouble(err))
	}
	return config, newTarget(config.ConnConfig.Config, unsafe), nil
}

// CheckURL says what is wrong with a database URL, without connecting.
func CheckURL(url string) error {
	_, _, err := parseURL(url)
	return err
}

// checkForm refuses what can be read in two ways. It tells whether the names in it may be shown: in
// some forms a part of a password could have been read as one.
func checkForm(url string) (unsafe bool, err error) {
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, found := strings.CutPrefix(url, scheme); found {
			return strings.Contains(strings.ToLower(rest), "password=") || hidesPassword(rest), checkAddress(rest)
		}
	}
	return checkPairs(url)
}

// hidesPassword reports whether an address without an @ may be a user and a password with a comma.
// The driver reads that as a list of hosts.
func hidesPassword(rest string) bool {
	_, afterColon, _ := strings.Cut(rest, ":")
	return !strings.Contains(rest, "@") && strings.Contains(afterColon, ",")
}

// checkAddress checks the part of a URL behind its scheme.
func checkAddress(rest string) error {
	authority := rest
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		authority = rest[:end]
	}
	switch ats := strings.Count(rest, "@"); {
	case strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("it has a blank or a control character: write a blank as %20")
	case ats > 1 || (ats == 1 && !strings.Contains(authority, "@")):
		return errors.New("it can be read in two ways: it has an @ too many, or a / or ? before its @. " +
			"In the user and the password write @ as %40, / as %2F, ? as %3F")
	case strings.Contains(rest, "#"):
		return errors.New("it has a #: write it as %23")
	case regexp.MustCompile(`%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)`).MatchString(rest):
		return errors.New("it has a % that begins no %XX: write % as %25")
	}
	return nil
}

// checkPairs checks a text of keyword=value pairs. The names in it are safe to show where its
// password, if any, is in quotes.
func checkPairs(text string) (unsafe bool, err error) {
	seen := make(map[string]bool)
	keyword := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	for rest := strings.TrimSpace(text); rest != ""; {
		key, value, found := strings.Cut(rest, "=")
		key = strings.TrimSpace(key)
		if !found || !keyword.MatchString(key) {
			return true, errors.New("it is neither a URL that begins with postgres:// nor keyword=value pairs. " +
				"A value that has blanks, or is empty, stands in single quotes")
		}
		key = strings.ToLower(key)
		if key == "dbname" {
			key = "database"
		}
		if seen[key] {
			return true, errors.New("it can be read in two ways: a keyword stands twice. A value that has blanks stands in single quotes")
		}
		seen[key] = true
		var quoted bool
		if rest, quoted, err = skipValue(strings.TrimLeft(value, " \t\n\r\v\f")); err != nil {
			return true, err
		}
		unsafe = unsafe || (key == "password" && !quoted)
	}
	return unsafe, nil
}

// skipValue returns what stands behind a value.
func skipValue(s string) (rest string, quoted bool, err error) {
	pattern := `(?s)^(?:[^ \t\n\r\v\f\\]|\\.)*\\?`
	if quoted = strings.HasPrefix(s, "'"); quoted {
		pattern = `(?s)^'(?:[^'\\]|\\.)*'`
	}
	value := regexp.MustCompile(pattern).FindString(s)
	rest = s[len(value):]
	switch {
	case quoted && value == "":
		return "", true, errors.New("a quoted value does not end: write ' as \\'")
	case quoted && rest != "" && strings.TrimLeft(rest, " \t\n\r\v\f") == rest:
		return "", true, errors.New("a quoted value ends before a blank: write ' as \\'")
	}
	return strings.TrimSpace(rest), quoted, nil
}

// parseTrouble is what the driver's error means. The driver repeats parts of the URL.
func parseTrouble(err error) string {
	if pathErr, found := errors.AsType[*fs.PathError](err); found && errors.Is(pathErr, fs.ErrNotExist) {
		return "a file that it names does not exist"
	}
	said := err.Error()
	for _, known := range []struct{ said, words string }{
		{"failed to read service", "the service that it names cannot be read from the service file"},
		{"failed to configure TLS", "its TLS settings (sslmode, sslrootcert, sslcert, sslkey) cannot be used"},
		{"could not match", "it has another number of ports than of hosts"},
		{"unknown target_session_attrs", "target_session_attrs must be any, read-write, read-only, primary, standby or prefer-standby"},
		{"invalid sslcertmode", "sslcertmode must be disable, allow or require"},
		{"invalid connect_timeout", "connect_timeout must be a number of seconds"},
		{"protocol_version", "min_protocol_version or max_protocol_version cannot be used"},
		{"channel_binding", "channel_binding must be disable, prefer or require"},
		{"invalid require_auth", "require_auth cannot be used"},
		{"cannot parse pool_", "one of its pool_ settings cannot be read"},
		{"pool_max_conns too small", "pool_max_conns must be 1 or more"},
		{"_cache_capacity", "one of its cache capacities cannot be read"},
		{"default_query_exec_mode", "default_query_exec_mode must be cache_statement, cache_describe, describe_exec, exec or simple_protocol"},
		{"invalid port", "its port is not a number from 1 to 65535. In the password write : as %3A, / as %2F, @ as %40"},
	} {
		if strings.Contains(said, known.said) {
			return known.words
		}
	}
	return "it cannot be read. The form is postgres://user:password@host:port/database"
}

// target is the server as it may be shown.
type target struct {
	addresses string // "" where a part of a password could be in them
}

func newTarget(config pgconn.Config, unsafe bool) target {
	list := []string{hostPort(config.Host, config.Port)}
	for _, f := range config.Fallbacks {
		if a := hostPort(f.Host, f.Port); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	shown := strings.Join(list, ", ")
	if unsafe || repeatsSecret(shown, config.Password) || repeatsSecret(shown, os.Getenv("PGPASSWORD")) {
		return target{}
	}
	return target{" at " + shown}
}

func hostPort(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// repeatsSecret reports whether a text holds four characters in a row of a secret, or a shorter
// one.
func repeatsSecret(text, secret string) bool {
	const part = 4
	if len(secret) <= part {
		return secret != "" && strings.Contains(text, secret)
	}
	for i := range len(secret) - part + 1 {
		if strings.Contains(text, secret[i:i+part]) {
			return true
		}
	}
	return false
}

// connectTrouble is a connection that could not be made. Its text is ours; its cause is for
// decisions and not to be printed.
type connectTrouble struct {
	words string
	err   error
}

func (e *connectTrouble) Error() string { return e.words }
func (e *connectTrouble) Unwrap() error { return e.err }

// errorWords tells of all the addresses and ways that were tried what matters: the server's own
// refusal of the user before any other, else the last.
func (t target) errorWords(err error) string {
	causes := leafErrors(err)
	cause := causes[len(causes)-1]
	rank := func(err error) int {
		pgErr, found := errors.AsType[*pgconn.PgError](err)
		switch {
		case !found:
			return 0
		case stateClass(pgErr.Code) != "28":
			return 1
		}
		return 2
	}
	for _, other := range slices.Backward(causes) {
		if rank(other) > rank(cause) {
			cause = other
		}
	}
	return "cannot connect to the database" + t.addresses + ": " + causeWords(cause)
}

// leafErrors are the errors at the ends of a tree.
func leafErrors(err error) []error {
	if _, found := err.(*pgconn.PgError); found { //nolint:errorlint // the node itself, not what it wraps
		return []error{err}
	}
	var list []error
	switch node := err.(type) { //nolint:errorlint // the node itself, not what it wraps
	case interface{ Unwrap() []error }:
		for _, child := range node.Unwrap() {
			list = append(list, leafErrors(child)...)
		}
	case interface{ Unwrap() error }:
		if child := node.Unwrap(); child != nil {
			list = leafErrors(child)
		}
	}
	if list == nil {
		list = []error{err}
	}
	return list
}

func causeWords(err error) string {
	if pgErr, found := errors.AsType[*pgconn.PgError](err); found {
		return cmp.Or(refusalWords()[pgErr.Code], refusalWords()[stateClass(pgErr.Code)], "the server refuses the connection") + " (SQLSTATE " + pgErr.Code + ")"
	}
	netErr, found := errors.AsType[net.Error](err)
	switch {
	case errors.As(err, new(*net.DNSError)):
		return "the host name cannot be resolved"
	case errors.Is(err, context.DeadlineExceeded), found && netErr.Timeout():
		return "the server does not answer in time"
	case errors.Is(err, context.Canceled):
		return "stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no server listens there"
	case errors.Is(err, syscall.ENOENT):
		return "there is no socket of a server"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the server closed the connection"
	case errors.Is(err, pgconn.ErrReadOnlyConnection), errors.Is(err, pgconn.ErrStandbyConnection):
		return "no server takes writes"
	case errors.As(err, new(*tls.CertificateVerificationError)), strings.HasPrefix(err.Error(), "x509: "):
		return "the server's TLS certificate is not accepted"
	case err.Error() == "server refused TLS connection":
		return "the server has no TLS: see sslmode"
	}
	return "the connection cannot be made"
}

// refusalWords are the server's reasons by SQLSTATE, or by its class.
func refusalWords() map[string]string {
	return map[string]string{
		"28P01": "the server refuses the user or the password",
		"28":    "the server does not let this user in: see whether the role exists and may log in, its pg_hba.conf, and sslmode",
		"3D000": "the server has no database of this name",
		"42501": "the user has no right to connect to this database",
		"53300": "the server has no connection left",
		"57P03": "the server is starting, stopping or recovering",
		"57":    "the server is shutting down",
		"08P01": "the server or its pooler refuses a parameter of the connection, or the user",
		"42704": "the server does not know a parameter of the database URL",
		"22023": "the server refuses the value of a parameter of the database URL",
	}
}
