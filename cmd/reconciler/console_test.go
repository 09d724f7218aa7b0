package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// console starts the pages and returns their address.
func (w *world) console(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	w.set("RECONCILER_CONSOLE_LISTEN=127.0.0.1:0")
	p := w.start(t, append([]string{"console"}, args...)...)
	p.awaitLog(t, "console listens")
	m := regexp.MustCompile(`"address":"(http://[^"]+/)"`).FindStringSubmatch(p.stderr.String())
	if m == nil {
		t.Fatal("the log has no address")
	}
	return p, m[1]
}

func TestConsoleUnderTheViewersRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	numbers := w.orders(t, 3, paid())
	w.summary(t, 0, "run-once")
	w.as(t, "viewer")
	p, address := w.console(t, "--lang=zh")
	for path, text := range map[string]string{"": "总览", "orders": numbers[0], "review": "人工复核", "gateway": "网关", "events": "order.paid", "audit": "操作记录"} {
		if got := fetchPage(t, address+path); got.code != http.StatusOK || !strings.Contains(got.body, text) {
			t.Errorf("/%s: %d, %s", path, got.code, got.body)
		}
	}
	p.stop(t)
	if strings.Contains(p.stderr.String(), "permission denied") {
		t.Errorf("a right is missing:\n%s", p.stderr.String())
	}
}

func TestConsoleRefusesToStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.invoke(t, "console", "--console-listen=0.0.0.0:0").want(t, 2, "--console-users-file (RECONCILER_CONSOLE_USERS_FILE)", "is required")
	w.invoke(t, "console", "--console-actions").want(t, 2, "--console-users-file", "is required")
	w.invoke(t, "console", "--console-listen=nonsense").want(t, 2, "--console-listen")
	file := filepath.Join(t.TempDir(), "users.yaml")
	w.invoke(t, "console", "--console-users-file="+file).want(t, 2, "users.yaml cannot be read")
	if err := os.WriteFile(file, []byte("users: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.invoke(t, "console", "--console-users-file="+file).want(t, 2, "names nobody")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	w.invoke(t, "console", "--console-users-file="+file).want(t, 2, "changed by others")
	w.as(t)
	w.invoke(t, "console").want(t, 2, "GRANT SELECT")
}

func TestConsoleReadsItsUsersAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("right-horse-battery"), 10)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users.yaml")
	users := "users:\n- {name: li, password_bcrypt: \"" + string(hash) + "\", role: operator}\n"
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	p, address := w.console(t, "--console-users-file="+file, "--console-actions")
	if got := fetchPage(t, address+"login"); got.code != http.StatusOK {
		t.Errorf("log-in: %d", got.code)
	}
	p.signal(t, syscall.SIGHUP)
	p.awaitLog(t, "users file reloaded")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	p.awaitLog(t, "users file reload failed")
	p.stop(t)
	var line struct {
		Address string `json:"address"`
		Actions bool   `json:"actions"`
	}
	for text := range strings.Lines(p.stderr.String()) {
		if strings.Contains(text, "console listens") {
			if err := json.Unmarshal([]byte(text), &line); err != nil || !line.Actions || line.Address != address {
				t.Errorf("%v: %s", err, text)
			}
		}
	}
}

func TestHashPassword(t *testing.T) {
	t.Parallel()
	needsProgram(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for password, good := range map[string]bool{"right-horse-battery\n": true, "short": false, "": false, strings.Repeat("x", 73): false} {
		cmd := exec.Command(path, "console", "hash-password")
		cmd.Stdin = strings.NewReader(password)
		out, err := cmd.Output()
		switch {
		case !good && (err == nil || cmd.ProcessState.ExitCode() != 2):
			t.Errorf("%q: exit %d", password, cmd.ProcessState.ExitCode())
		case good && bcrypt.CompareHashAndPassword([]byte(strings.TrimSpace(string(out))), []byte("right-horse-battery")) != nil:
			t.Errorf("%q: %v, %s", password, err, out)
		}
	}
}
