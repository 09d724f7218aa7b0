package postgres

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestStale(t *testing.T) {
	t.Parallel()
	gone := deadPID(t)
	tests := map[string]struct {
		name string
		make func(t *testing.T, dir string)
		want bool
	}{
		"maker gone":                {fmt.Sprintf("%s%d-1", prefix, gone), mkdir, true},
		"maker alive":               {fmt.Sprintf("%s%d-1", prefix, os.Getpid()), mkdir, false},
		"maker gone, server not":    {fmt.Sprintf("%s%d-1", prefix, gone), mkdirWithServer, false},
		"a name of somebody else's": {fmt.Sprintf("%smine-%d-1", prefix, gone), mkdir, false},
		"a kept copy":               {fmt.Sprintf("%s%d-1.old", prefix, gone), mkdir, false},
		"a file":                    {fmt.Sprintf("%s%d-1", prefix, gone), mkfile, false},
		"a link":                    {fmt.Sprintf("%s%d-1", prefix, gone), mklink, false},
		"not there":                 {fmt.Sprintf("%s%d-1", prefix, gone), func(*testing.T, string) {}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(openFolder(t), test.name)
			test.make(t, dir)
			if got := isStale(t.Context(), dir, nil); got != test.want {
				t.Errorf("stale = %v, want %v", got, test.want)
			}
		})
	}
}

func TestStaleLeavesOtherUsers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), fmt.Sprintf("%s%d-1", prefix, deadPID(t)))
	mkdir(t, dir)
	stranger := &account{name: "stranger", uid: uint32(os.Geteuid()) + 1}
	if isStale(t.Context(), dir, stranger) {
		t.Error("a folder of another user is ours to sweep")
	}
}

func TestMakeFolderRefusesLongSocketPath(t *testing.T) {
	t.Parallel()
	place := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	mkdir(t, place)
	if dir, err := makeFolderIn(place, nil); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("makeFolderIn = %s, %v, want a refusal", dir, err)
	}
	if left, err := os.ReadDir(place); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestMakeFolderRefusesClosedPlace(t *testing.T) {
	t.Parallel()
	place := t.TempDir()
	if err := os.Chmod(place, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := &account{name: "stranger", uid: uint32(os.Geteuid()) + 1}
	if dir, err := makeFolderIn(place, stranger); err == nil || !strings.Contains(err.Error(), "may not enter "+filepath.Dir(place)) && !strings.Contains(err.Error(), "may not enter "+place) {
		t.Errorf("makeFolderIn = %s, %v, want the folder that is closed", dir, err)
	}
}

func TestLogTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := logTail(dir); got != "" {
		t.Errorf("logTail without a log = %q", got)
	}
	var log strings.Builder
	for line := range 100 {
		fmt.Fprintf(&log, "line %d\n", line)
	}
	if err := os.WriteFile(filepath.Join(dir, logName), []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got := logTail(dir)
	if strings.Contains(got, "line 79\n") || !strings.Contains(got, "line 80\n") || !strings.HasSuffix(got, "line 99") {
		t.Errorf("logTail = %q, want the last 20 lines", got)
	}
}

// deadPID is that of a process that has just ended.
func deadPID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func mkdirWithServer(t *testing.T, path string) {
	t.Helper()
	mkdir(t, path)
	listener, err := net.Listen("unix", filepath.Join(path, socketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
}

func mkfile(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mklink(t *testing.T, path string) {
	t.Helper()
	link(t, t.TempDir(), path)
}
