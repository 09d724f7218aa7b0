package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// binVariable overrides where the server programs are looked for.
const binVariable = "RECONCILER_PG_BIN"

// ErrNotFound says that this machine has no Postgres server programs, and which lines install them.
var ErrNotFound = errors.New(`postgres: no server programs (initdb, postgres) found; install them with one of
  sudo apt-get install postgresql            # Debian, Ubuntu
  sudo dnf install postgresql-server         # Fedora
  brew install postgresql@17                 # macOS
or name their folder: ` + binVariable + `=/path/to/bin`)

// installFolders lists where packagers put the server programs, which are often not on PATH.
// The script ensure-postgres looks in the same places.
func installFolders() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	}
}

func findPrograms() (string, error) {
	return findIn(os.Getenv(binVariable), installFolders(), exec.LookPath)
}

// findIn returns the named folder, if one is named. Else it is the newest version of the first kind
// of installation that there is, then what PATH leads to.
func findIn(named string, patterns []string, lookPath func(string) (string, error)) (string, error) {
	if named != "" {
		if !hasPrograms(named) {
			return "", fmt.Errorf("%s=%s: %w", binVariable, named, ErrNotFound)
		}
		return filepath.Abs(named)
	}
	for _, pattern := range patterns {
		if bin, ok := newestMatch(pattern); ok {
			return bin, nil
		}
	}
	if initdb, err := lookPath("initdb"); err == nil {
		// The link is resolved because postgres finds its own files beside the real program.
		if real, err := filepath.EvalSymlinks(initdb); err == nil && hasPrograms(filepath.Dir(real)) {
			return filepath.Dir(real), nil
		}
	}
	return "", ErrNotFound
}

func newestMatch(pattern string) (string, bool) {
	found, _ := filepath.Glob(pattern) // the one error there is, a bad pattern, is a constant of ours
	found = slices.DeleteFunc(found, func(bin string) bool { return !hasPrograms(bin) })
	if len(found) == 0 {
		return "", false
	}
	return slices.MaxFunc(found, func(a, b string) int { return slices.Compare(folderVersion(a), folderVersion(b)) }), true
}

// folderVersion reads the numbers of an installation's folder: /usr/pgsql-9.6/bin is 9, 6.
func folderVersion(bin string) []int {
	name := filepath.Base(filepath.Dir(bin))
	var numbers []int
	for _, digits := range strings.FieldsFunc(name, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(digits)
		numbers = append(numbers, n)
	}
	return numbers
}

func hasPrograms(bin string) bool {
	return isProgram(filepath.Join(bin, "initdb")) && isProgram(filepath.Join(bin, "postgres"))
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
