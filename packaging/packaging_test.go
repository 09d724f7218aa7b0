// Package packaging_test holds the packages' files to the tools that read them.
package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// units copies the units, with another program instead of the installed one, and returns their
// paths.
func units(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.service")
	if err != nil || len(names) == 0 {
		t.Fatalf("no units: %v", err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "reconciler")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, name := range append(names, "reconciler-prune.timer") {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(content), "/usr/bin/reconciler", program)), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func analyze(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd is not installed")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze %s: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestUnitsVerify(t *testing.T) {
	t.Parallel()
	out := analyze(t, append([]string{"verify", "--man=no", "--recursive-errors=no"}, units(t)...)...)
	if strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
}

// The exposure is on systemd's scale from 0 to 10; below 2 it is "OK".
func TestUnitsAreHardened(t *testing.T) {
	t.Parallel()
	for _, path := range units(t) {
		if strings.HasSuffix(path, ".service") {
			analyze(t, "security", "--offline=yes", "--no-pager", "--threshold=20", path)
		}
	}
}

// A package holds the settings, and an upgrade keeps what people made of them.
func TestSettingsAreAConfigFile(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile("nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, entry, found := strings.Cut(string(config), "dst: /etc/reconciler/reconciler.env\n")
	entry, _, _ = strings.Cut(entry, "\n  - ")
	if !found || !strings.Contains(entry, "type: config|noreplace") || strings.Contains(entry, "packager:") {
		t.Errorf("deb and rpm both want it as a config file, not:\n%s", entry)
	}
}

// Each file that a package takes is there, or is made by scripts/packages.
func TestPackageContentsExist(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile("nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sources := regexp.MustCompile(`(?m)^ *- src: "?([^\s"]+)"?$`).FindAllStringSubmatch(string(config), -1)
	if len(sources) < 8 {
		t.Fatalf("only %d files are in the package", len(sources))
	}
	for _, source := range sources {
		if strings.HasPrefix(source[1], "bin/") {
			continue
		}
		if paths, err := filepath.Glob(filepath.Join("..", source[1])); err != nil || len(paths) == 0 {
			t.Errorf("%s: %v", source[1], err)
		}
	}
}
