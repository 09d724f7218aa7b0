package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindIn(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"lib/9.6/bin", "lib/10/bin", "lib/17/bin", "pgsql-18/bin", "plain"} {
		makePrograms(t, filepath.Join(root, dir), "initdb", "postgres")
	}
	makePrograms(t, filepath.Join(root, "lib/99/bin"), "initdb") // clients only
	makePrograms(t, filepath.Join(root, "path"))
	link(t, filepath.Join(root, "plain/initdb"), filepath.Join(root, "path/initdb"))
	lib, pgsql := filepath.Join(root, "lib/*/bin"), filepath.Join(root, "pgsql-*/bin")
	onPath := func(string) (string, error) { return filepath.Join(root, "path/initdb"), nil }
	notOnPath := func(string) (string, error) { return "", errors.New("not there") }

	tests := map[string]struct {
		named    string
		patterns []string
		lookPath func(string) (string, error)
		want     string
	}{
		"named":                   {"plain", []string{lib}, onPath, "plain"},
		"named, but not there":    {"nowhere", []string{lib}, onPath, ""},
		"named, but clients only": {"lib/99/bin", []string{lib}, onPath, ""},
		"newest of the first":     {"", []string{lib, pgsql}, onPath, "lib/17/bin"},
		"next place":              {"", []string{filepath.Join(root, "none/*"), pgsql}, onPath, "pgsql-18/bin"},
		"a link on PATH":          {"", nil, onPath, "plain"},
		"nowhere":                 {"", nil, notOnPath, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			named, want := under(root, test.named), under(root, test.want)
			got, err := findIn(named, test.patterns, test.lookPath)
			if got != want || (want == "") != errors.Is(err, ErrNotFound) {
				t.Errorf("findIn = %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestErrNotFoundSaysWhatToPaste(t *testing.T) {
	t.Parallel()
	for _, want := range []string{"sudo apt-get install postgresql", "sudo dnf install", "brew install postgresql", binVariable} {
		if !strings.Contains(ErrNotFound.Error(), want) {
			t.Errorf("%q is missing in: %v", want, ErrNotFound)
		}
	}
}

// The script and the program must agree on whether there is a server, or the one would install what
// the other ignores.
func TestScriptLooksInTheSamePlaces(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../../scripts/ensure-postgres")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(installFolders(), binVariable) {
		if !strings.Contains(string(script), want) {
			t.Errorf("scripts/ensure-postgres does not look in %s", want)
		}
	}
}

func makePrograms(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func under(root, path string) string {
	if path == "" {
		return ""
	}
	return filepath.Join(root, path)
}
