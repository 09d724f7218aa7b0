package console_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"reconciler/internal/console"
	"reconciler/internal/store"
)

func TestOptionsThatAreNotSafe(t *testing.T) {
	t.Parallel()
	users := &console.Users{}
	for _, c := range []struct {
		options console.Options
		safe    bool
	}{
		{console.Options{Loopback: true}, true},
		{console.Options{Loopback: true, Actions: true}, false},
		{console.Options{}, false},
		{console.Options{Users: users}, true},
		{console.Options{Users: users, Actions: true}, true},
	} {
		if _, err := console.New(c.options); (err == nil) != c.safe {
			t.Errorf("%+v: %v", c.options, err)
		}
	}
	for address, loopback := range map[string]bool{
		"127.0.0.1:9465": true, "[::1]:1": true, "LocalHost:1": true, "127.9.9.9:1": true, ":9465": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "x": false,
	} {
		if console.IsLoopback(address) != loopback {
			t.Errorf("%s: loopback is %v", address, !loopback)
		}
	}
}

func TestLogInAndOut(t *testing.T) {
	t.Parallel()
	users := withUsers(t)
	w := newWorld(t, store.ForViewer, func(o *console.Options) { users(o); o.Loopback = false })
	p := w.person(t)
	for _, path := range append(allPages(1), "/orders.csv", "/audit.csv", "/nowhere") {
		a := p.get(t, path)
		a.want(t, http.StatusSeeOther)
		if to := a.Header.Get("Location"); to != "/login?to="+strings.ReplaceAll(path, "/", "%2F") {
			t.Errorf("%s leads to %s", path, to)
		}
	}
	p.get(t, "/login?to=//evil.example").want(t, http.StatusOK, `name="to" value="/"`)
	p.post(t, "/login", "name", "wang.li", "password", "wrong").want(t, http.StatusUnauthorized, "Name or password is wrong")
	p.post(t, "/login", "name", "nobody", "password", password).want(t, http.StatusUnauthorized)
	a := p.post(t, "/login", "name", "wang.li", "password", password, "to", "/review")
	a.want(t, http.StatusSeeOther)
	if to := a.Header.Get("Location"); to != "/review" {
		t.Errorf("leads to %s", to)
	}
	cookie := a.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.MaxAge != 12*3600 || cookie.Path != "/" {
		t.Errorf("cookie: %+v", cookie)
	}
	p.get(t, "/").want(t, http.StatusOK, "wang.li", "operator")
	old := cookie.Name + "=" + cookie.Value
	out := p.post(t, "/logout")
	out.want(t, http.StatusSeeOther)
	p.get(t, "/").want(t, http.StatusSeeOther)
	w.person(t).get(t, "/", "Cookie", old).want(t, http.StatusSeeOther) // it has ended, not only been forgotten

	secure := w.person(t).do(t, http.MethodPost, "/login", map[string][]string{"name": {"zhang"}, "password": {password}}, "X-Forwarded-Proto", "https")
	if c := secure.Cookies(); len(c) != 1 || !c[0].Secure {
		t.Errorf("behind TLS the cookie is not secure: %+v", c)
	}
}

// Who is taken out of the file, or gets another password or role, is out or has that role at once.
func TestUsersFileIsReadAgain(t *testing.T) {
	t.Parallel()
	path := usersFile(t)
	users, _, err := console.ReadUsers(path)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, store.ForViewer, func(o *console.Options) { o.Users, o.Loopback = users, false })
	p, q := w.person(t), w.person(t)
	p.signIn(t, "wang.li")
	q.signIn(t, "zhang")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(text string) error {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := users.Reload(path)
		return err
	}
	first, _, _ := strings.Cut(string(text), "- {name: zhang")
	if err := rewrite(strings.Replace(first, "role: operator", "role: viewer", 1)); err != nil {
		t.Fatal(err)
	}
	p.get(t, "/").want(t, http.StatusOK, "(viewer)")
	q.get(t, "/").want(t, http.StatusSeeOther)
	if err := rewrite("users: nonsense"); err == nil {
		t.Error("nonsense was accepted")
	}
	p.get(t, "/").want(t, http.StatusOK, "wang.li")
}

func TestUsersFiles(t *testing.T) {
	t.Parallel()
	weak, err := bcrypt.GenerateFromPassword([]byte(password), 4)
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name, hash, role string) string {
		return fmt.Sprintf("- {name: %q, password_bcrypt: %q, role: %s}\n", name, hash, role)
	}
	good := entry("li", passwordHash, "viewer")
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"good":     {"users:\n" + good, 0o600, ""},
		"empty":    {"", 0o600, "names nobody"},
		"list":     {good, 0o600, "list under users"},
		"twice":    {"users:\n" + good + good, 0o600, "same name"},
		"role":     {"users:\n" + entry("li", passwordHash, "admin"), 0o600, "role"},
		"several":  {"users:\n" + entry("", "x", "admin") + good + good, 0o600, "entry 1: name must have 1 to 100 bytes, and not be breaker, password_bcrypt must be what reconciler console hash-password prints, role must be viewer or operator; entry 3: another entry has the same name"},
		"plain":    {"users:\n" + entry("li", "secret-as-it-is", "viewer"), 0o600, "hash-password"},
		"weak":     {"users:\n" + entry("li", string(weak), "viewer"), 0o600, "cost"},
		"costly":   {"users:\n" + entry("li", strings.Replace(passwordHash, passwordHash[:6], "$2a$31", 1), "viewer"), 0o600, "cost 31"},
		"unknown":  {"users:\n- {name: li, password: secret-as-it-is}\n", 0o600, "list under users"},
		"breaker":  {"users:\n" + entry("breaker", passwordHash, "operator"), 0o600, "breaker"},
		"writable": {"users:\n" + good, 0o622, "changed by others"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, _, err := console.ReadUsers(path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s quotes the file: %v", name, err)
		}
	}
	if _, err := console.HashPassword(strings.Repeat("x", 73)); err == nil {
		t.Error("a password of 73 bytes was accepted")
	}
}

// A request from another site changes nothing.
func TestCrossOriginIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForOperator, withActions(t))
	p := w.person(t)
	p.signIn(t, "wang.li")
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		for _, path := range []string{"/gateway/pause", "/login", "/logout", "/orders/1/resolve"} {
			p.do(t, http.MethodPost, path, map[string][]string{"reason": {"x"}}, headers...).want(t, http.StatusForbidden, "another site")
		}
	}
	p.get(t, "/").want(t, http.StatusOK, "wang.li")
}
