package console_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"reconciler/internal/console"
	"reconciler/internal/operator"
	"reconciler/internal/policy"
	"reconciler/internal/postgres/postgrestest"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const (
	mid      = "898340149000005"
	otherMID = "898340149000006"
	appID    = "app-of-the-tests"
	password = "right-horse-battery"
	// passwordHash is that of password: to make one takes long, and the more so with -race.
	passwordHash = "$2a$10$r174XpRTZgWyDbW3IYzEm.qqyBh35DZ/8ReEiy3.Hke7bWuJCWG9O"
)

// world is a console over a database of its own, under a role with the rights of its audience
// alone. The connection plays the application.
type world struct {
	url     string
	conn    *pgx.Conn
	console *console.Console
	server  *httptest.Server
	made    int
}

// newWorld starts a console. The function changes its options.
func newWorld(t *testing.T, audience store.Audience, change func(*console.Options)) *world {
	t.Helper()
	w := &world{url: postgrestest.NewDatabase(t)}
	w.conn = storetest.Connect(t, w.url)
	s, err := store.OpenForPages(t.Context(), w.roleURL(t, audience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	o := console.Options{
		Desk: operator.Desk{
			Locale: operator.Locale{Lang: "en", Zone: zone}, Store: s, Rate: 50,
			Rules: policy.Rules{Plan: policy.Plan{
				Initial: 15 * time.Second, Multiplier: 2, Max: time.Hour, Jitter: 0.1,
				SlowAfter: 24 * time.Hour, GiveUpAfter: 168 * time.Hour, NotFoundAfter: 2 * time.Hour,
			}},
		},
		Loopback: true, Version: "v1.4.0", Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	if w.console, err = console.New(o); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.console.Handler())
	t.Cleanup(w.server.Close)
	return w
}

// roleURL is the database's address for a new role with the rights of an audience.
func (w *world) roleURL(t *testing.T, audience store.Audience) string {
	t.Helper()
	role := "console_" + storetest.Value[string](t, w.conn, `SELECT current_database()`)
	storetest.Exec(t, w.conn, `CREATE ROLE `+role+` LOGIN`)
	t.Cleanup(func() { storetest.Exec(t, w.conn, `DROP OWNED BY `+role+`; DROP ROLE `+role) })
	storetest.Exec(t, w.conn, strings.Join(store.Grants(audience, "public", role), "\n"))
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("user", role)
	u.User, u.RawQuery = nil, query.Encode()
	return u.String()
}

func (w *world) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	storetest.Exec(t, w.conn, sql, args...)
}

func scan[T any](t *testing.T, w *world, sql string, args ...any) T {
	t.Helper()
	return storetest.Value[T](t, w.conn, sql, args...)
}

// insert adds an order and returns its id. The changes are SQL: "status = 'UNKNOWN'".
func (w *world) insert(t *testing.T, mid string, fen int64, changes ...string) int64 {
	t.Helper()
	w.made++
	id := scan[int64](t, w, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, '88880001', $2, $3) RETURNING id`,
		mid, fmt.Sprintf("3194%010d", w.made), fen)
	for _, change := range changes {
		w.exec(t, `UPDATE orders SET `+change+` WHERE id = $1`, id)
	}
	return id
}

// ask adds a question about an order.
func (w *world) ask(t *testing.T, id int64, decision, status, response string) {
	t.Helper()
	w.exec(t, `INSERT INTO order_queries (order_id, claim_no, duration_ms, round_trips, worker, http_status, err_code, trade_status, decision, reason, response)
		VALUES ($1, 1, 12, 1, 'web-1/7', 200, 'SUCCESS', nullif($2, ''), $3, 'unresolved', nullif($4, '')::jsonb)`, id, status, decision, response)
}

// fill gives every page something to show.
func (w *world) fill(t *testing.T) (paid, review int64) {
	t.Helper()
	w.exec(t, `INSERT INTO instances (worker, version, last_pass_at, settings) VALUES ('web-1/7', 'v1.4.0', now(), $1)`,
		`{"RECONCILER_RATE": "50", "apps": [{"app_id": "`+appID+`"}]}`)
	w.insert(t, mid, 12_900)
	w.insert(t, otherMID, 990, `created_at = now() - interval '2 hours', status = 'WAIT_BUYER_PAY'`)
	paid = w.insert(t, mid, 129_000, `status = 'TRADE_SUCCESS', total_amount = 129000, settled_by = 'query', settled_at = now(), created_at = now() - interval '1 hour',
		pay_time = now() - interval '50 minutes', ref_id = 'REF-77123', buyer_id = 'oX9aB3longbuyer4f', target_order_id = '4200001234567890'`)
	w.ask(t, paid, "deferred", "WAIT_BUYER_PAY", "")
	w.ask(t, paid, "no_answer", "", "")
	w.ask(t, paid, "settled", "TRADE_SUCCESS", `{"errCode": "SUCCESS", "totalAmount": "129000", "buyerId": "oX9aB3longbuyer4f", "note": "of oX9aB3longbuyer4f"}`)
	w.exec(t, `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload) SELECT id, mid, mer_order_id, 'order.paid', '{}' FROM orders WHERE id = $1`, paid)
	review = w.insert(t, mid, 5000, `review_reason = 'amount_mismatch', review_note = 'The gateway says 0.01.', next_query_at = NULL`)
	w.ask(t, review, "review", "TRADE_SUCCESS", `{"totalAmount": "1"}`)
	w.exec(t, `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload) SELECT id, mid, mer_order_id, 'order.review', '{"review_reason": "amount_mismatch"}' FROM orders WHERE id = $1`, review)
	w.exec(t, `INSERT INTO operator_actions (actor, via, action, order_id, reason) VALUES ('zhao', 'cli', 'retry', $1, 'once more')`, review)
	w.exec(t, `INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('mid', $1, 'support ticket 812', 'li')`, otherMID)
	w.exec(t, `INSERT INTO gateway_incidents (scope, key, cause, opened_by, opened_at, closed_at, questions_lost)
		VALUES ('app', $1, 'connection refused', 'breaker', now() - interval '2 hours', now() - interval '1 hour', 22)`, appID)
	w.exec(t, `SELECT register_order_events('shop', true)`)
	return paid, review
}

// person is a browser without a screen.
type person struct {
	*http.Client

	w *world
}

func (w *world) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &person{w: w, Client: &http.Client{
		Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a page as it came.
type answer struct {
	*http.Response

	body string
}

// do sends a request. The headers are pairs.
func (p *person) do(t *testing.T, method, path string, form url.Values, headers ...string) answer {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(context.Background(), method, p.w.server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := p.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, string(text)}
}

func (p *person) get(t *testing.T, path string, headers ...string) answer {
	t.Helper()
	return p.do(t, http.MethodGet, path, nil, headers...)
}

func (p *person) post(t *testing.T, path string, fields ...string) answer {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return p.do(t, http.MethodPost, path, form)
}

// want checks the status and that the page has the texts.
func (a answer) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s %s: %d, want %d", a.Request.Method, a.Request.URL, a.StatusCode, status)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s %s does not say %q", a.Request.Method, a.Request.URL, text)
		}
	}
	if t.Failed() {
		t.Log(a.body)
	}
}

func (a answer) lacks(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("%s %s says %q", a.Request.Method, a.Request.URL, text)
		}
	}
}

// usersFile has an operator, wang.li, and a viewer, zhang, of the same password.
func usersFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	text := fmt.Sprintf("users:\n- {name: wang.li, password_bcrypt: %q, role: operator}\n- {name: zhang, password_bcrypt: %q, role: viewer}\n", passwordHash, passwordHash)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func withUsers(t *testing.T) func(*console.Options) {
	t.Helper()
	users, _, err := console.ReadUsers(usersFile(t))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *console.Options) { o.Users = users }
}

// withActions is a console whose operators may act.
func withActions(t *testing.T) func(*console.Options) {
	t.Helper()
	users := withUsers(t)
	return func(o *console.Options) { users(o); o.Actions = true }
}

// signIn gives a person the session of a name. [TestLogInAndOut] and [TestBrowser] log in by the
// page.
func (p *person) signIn(t *testing.T, name string) {
	t.Helper()
	address, err := url.Parse(p.w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.Jar.SetCookies(address, []*http.Cookie{p.w.console.SignIn(name)})
}
