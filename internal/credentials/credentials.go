// Package credentials reads files of secrets: the credentials file, which says with which app id
// the orders of a merchant are asked about, and the files of single secrets.
//
// # The rule for private files
//
// One rule holds for every file of secrets. It is a regular file of at most 1 MiB, and neither its
// group nor others may write it. Others may read it only where it belongs to root or to this
// process, as a mounted Kubernetes Secret does. Then the caller gets a warning to log. A FIFO or a
// device is refused at once. The check looks at the open file, so nobody can swap it after the
// check.
//
// # Errors never quote a secret
//
// A slip of the pen can make any text of the credentials file a key. The messages of the YAML
// library quote what they complain about. So only the line of such a message is kept. An app id or
// a merchant number is shown only where it has the plain form of one.
package credentials

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"reconciler/internal/chinaums"
)

// App is one entry of the credentials file: an app id with its key. However it is printed, the key
// stays out.
type App struct {
	chinaums.Credentials
	MIDs []string // the merchants whose orders it asks about; no other entry has them
}

// ReadFile reads the credentials file and the key files that it names. A relative key file lies
// beside it. The error has a line for everything that is wrong. The warnings are those of
// [ReadPrivateFile], each with its file's name.
func ReadFile(path string) (apps []App, warnings []string, err error) {
	f := file{path: path, apps: make(map[string]int), mids: make(map[string]int)}
	content, warning, err := ReadPrivateFile(path)
	f.addWarning(path, warning)
	if err != nil {
		f.addProblem("%w", err)
		return nil, nil, errors.Join(f.problems...)
	}
	entries, problems := parseEntries(content)
	for _, problem := range problems {
		f.addProblem("%s", problem)
	}
	for i, e := range entries {
		f.position, f.appID = i+1, e.AppID
		apps = append(apps, f.readEntry(e))
	}
	if err := errors.Join(f.problems...); err != nil {
		return nil, nil, err
	}
	return apps, f.warnings, nil
}

// ReadKeyFile reads a file that holds one key and nothing else but white space around it.
func ReadKeyFile(path string) (key, warning string, err error) {
	content, warning, err := ReadPrivateFile(path)
	key = strings.TrimSpace(string(content))
	if err == nil && key == "" {
		err = errors.New("is empty: put the key into it")
	}
	return key, warning, err
}

// file is the state of one reading.
type file struct {
	path     string
	position int    // of the entry being read, from 1; 0 = none
	appID    string // of that entry
	problems []error
	warnings []string
	apps     map[string]int // the entry that has the app id
	mids     map[string]int // the entry that has the merchant
}

func (f *file) addProblem(format string, args ...any) {
	where := ""
	if f.position > 0 {
		where = fmt.Sprintf(" entry %d%s:", f.position, showPlain(" (app %q)", f.appID, 64))
	}
	f.problems = append(f.problems, fmt.Errorf("credentials-file %s%s %w", f.path, where, fmt.Errorf(format, args...)))
}

func (f *file) addWarning(path, warning string) {
	if warning != "" {
		f.warnings = append(f.warnings, path+" "+warning)
	}
}

func (f *file) readEntry(e entry) App {
	switch first := f.apps[e.AppID]; {
	case e.AppID == "":
		f.addProblem("app_id is missing: set it to the one that ChinaUMS gave")
	case !isToken(e.AppID, `"\,`):
		f.addProblem("app_id must have no spaces, quotes, commas and control characters")
	case first != 0:
		f.addProblem("app_id is given twice, first in entry %d: put all its mids into one entry", first)
	default:
		f.apps[e.AppID] = f.position
	}
	key := f.readKey(e)
	f.checkMerchants(e.MIDs)
	return App{Credentials: chinaums.Credentials{AppID: e.AppID, AppKey: key}, MIDs: e.MIDs}
}

func (f *file) readKey(e entry) string {
	if e.AppKey != "" && e.AppKeyFile != "" {
		f.addProblem("app_key and app_key_file are both given: keep one")
		return ""
	}
	key := e.AppKey
	if e.AppKeyFile != "" {
		var err error
		if key, err = f.readKeyFile(e.AppKeyFile); err != nil {
			f.addProblem("app_key_file %w", err)
			return ""
		}
	}
	switch {
	case key == "":
		f.addProblem("no app key: set app_key (in quotes) or app_key_file")
	case !isToken(key, ""):
		f.addProblem("the app key must be one text without spaces and control characters: check the line, or quote it")
	}
	return key
}

// readKeyFile does not name a file that does not exist: the text may be a key in the wrong place.
func (f *file) readKeyFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(f.path), path)
	}
	key, warning, err := ReadKeyFile(path)
	f.addWarning(path, warning)
	if _, statErr := os.Stat(path); err != nil && statErr == nil {
		err = fmt.Errorf("%s %w", path, err)
	}
	return key, err
}

func (f *file) checkMerchants(mids []string) {
	if len(mids) == 0 {
		f.addProblem("no mids: list the merchants that the app asks for")
	}
	for _, mid := range mids {
		length, owner := utf8.RuneCountInString(mid), f.mids[mid]
		switch {
		case mid != "" && !isToken(mid, ""):
			f.addProblem("a mid must have no spaces and control characters")
		case length < 8 || length > 32:
			f.addProblem("a mid must have 8 to 32 characters, not %d", length)
		case owner == f.position:
			f.addProblem("mid%s is listed twice: keep one", showPlain(" %s", mid, 15))
		case owner != 0:
			f.addProblem("mid%s is also in entry %d: one app must ask for it", showPlain(" %s", mid, 15), owner)
		default:
			f.mids[mid] = f.position
		}
	}
}

// isToken reports whether a header can carry s, and whether all of it can be seen.
func isToken(s, forbidden string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || strings.ContainsRune(forbidden, r)
	})
}

// showPlain formats s if it has the plain form of an id and at most maxLength characters. Any other
// text may be a key in the wrong place.
func showPlain(format, s string, maxLength int) string {
	const plain = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-."
	if s == "" || len(s) > maxLength || strings.Trim(s, plain) != "" {
		return ""
	}
	return fmt.Sprintf(format, s)
}
