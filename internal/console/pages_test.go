package console_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

func allPages(paid int64) []string {
	return []string{"/", "/orders", fmt.Sprintf("/orders/%d", paid), "/review", "/gateway", "/events", "/audit"}
}

// Every page is there in both languages under a role that only reads, and keeps its own policy.
func TestEveryPageInBothLanguages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	paid, _ := w.fill(t)
	p := w.person(t)
	for _, path := range allPages(paid) {
		for accept, words := range map[string][]string{"en-GB,en;q=0.9": {`lang="en"`, ">overview<", ">audit<"}, "zh-CN,zh;q=0.9,en;q=0.5": {`lang="zh-CN"`, ">总览<", ">操作记录<"}} {
			a := p.get(t, path, "Accept-Language", accept)
			a.want(t, http.StatusOK, words...)
			wantPolicy(t, a)
		}
	}
	p.get(t, "/nowhere").want(t, http.StatusNotFound, "no such page")
	p.get(t, "/orders/999999").want(t, http.StatusNotFound, "No order")
	p.get(t, "/orders/x").want(t, http.StatusNotFound)
	p.get(t, "/login").want(t, http.StatusNotFound)
	for action, object := range map[string]string{"/orders/7/resolve": "/orders/7", "/orders/7/retry": "/orders/7", "/gateway/pause": "/gateway", "/gateway/resume": "/gateway"} {
		a := p.get(t, action) // a preview that is opened again
		a.want(t, http.StatusSeeOther)
		if to := a.Header.Get("Location"); to != object {
			t.Errorf("GET %s leads to %q, want %q", action, to, object)
		}
	}
	for _, name := range []string{"console.css", "console.js", "icon.svg"} {
		p.get(t, "/assets/"+name).want(t, http.StatusOK)
	}
	p.get(t, "/assets/..%2fpages%2flayout.html").want(t, http.StatusNotFound)
	for _, page := range []struct{ method, path, allow string }{
		{http.MethodPost, "/", "GET, HEAD"},
		{http.MethodPut, "/orders", "GET, HEAD"},
		{http.MethodDelete, "/orders/7", "GET, HEAD"},
		{http.MethodPut, "/orders/7/resolve", "GET, HEAD, POST"},
		{http.MethodGet, "/logout", "POST"},
	} {
		a := p.do(t, page.method, page.path, nil)
		a.want(t, http.StatusMethodNotAllowed, "takes no such request")
		if allow := a.Header.Get("Allow"); allow != page.allow {
			t.Errorf("%s %s: Allow is %q, want %q", page.method, page.path, allow, page.allow)
		}
	}
	p.do(t, http.MethodPost, "/nowhere", nil).want(t, http.StatusNotFound)
}

// wantPolicy checks the headers, and that the page obeys them.
func wantPolicy(t *testing.T, a answer) {
	t.Helper()
	for header, value := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
	} {
		if got := a.Header.Get(header); got != value {
			t.Errorf("%s: %s is %q, want %q", a.Request.URL, header, got, value)
		}
	}
	policy := a.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("%s: policy %q", a.Request.URL, policy)
	}
	if found := regexp.MustCompile(`(?i)<style|<script(?:>| [^>]*>[^<])|<[a-z][^<>]*\s(?:style|on[a-z]+)=`).FindString(a.body); found != "" {
		t.Errorf("%s has something inline: %s", a.Request.URL, found)
	}
}

// The words of the pages are those of the catalogue, each of them.
func TestEveryWordIsSaid(t *testing.T) {
	t.Parallel()
	said := wordsInSources(t)
	for _, key := range said {
		if !hasWord(key) {
			t.Errorf("the catalogue has no word %q", key)
		}
	}
	for _, key := range operator.WordKeys() {
		if !slices.Contains(said, key) {
			t.Errorf("nobody says %q", key)
		}
	}
}

func TestLanguageSwitch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	p := w.person(t)
	a := p.get(t, "/orders?status=open&lang=zh", "Accept-Language", "en")
	a.want(t, http.StatusSeeOther)
	if to := a.Header.Get("Location"); to != "/orders?status=open" {
		t.Errorf("leads to %s", to)
	}
	p.get(t, "/orders", "Accept-Language", "en").want(t, http.StatusOK, "订单")
	p.get(t, "/?lang=en").want(t, http.StatusSeeOther)
	p.get(t, "/", "Accept-Language", "zh").want(t, http.StatusOK, ">overview<")
	p.get(t, "/?lang=fr").want(t, http.StatusOK)
	for _, path := range []string{"//evil.example/?lang=zh", `/%5cevil.example/?lang=zh`} {
		if to := p.get(t, path).Header.Get("Location"); to != "" && (strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) || !strings.HasPrefix(to, "/")) {
			t.Errorf("%s leads to %s", path, to)
		}
	}
}

// What others wrote shows as they wrote it, and does nothing.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\x1b[31m"
	const short = "<script>x</script>\u202e" // fits the columns of numbers
	w := newWorld(t, store.ForViewer, nil)
	id := w.insert(t, mid, 100)
	const buyer = "<b>buyer</b>"
	w.exec(t, `UPDATE orders SET mid = $2, tid = $2, inst_mid = $2, mer_order_id = $2, target_order_id = $2 || '1', review_reason = $3, review_note = $3, last_error = $3,
		claimed_by = $3, buyer_id = $4, bank_info = $3, next_query_at = NULL WHERE id = $1`, id, short, hostile, buyer)
	w.exec(t, `INSERT INTO order_queries (order_id, claim_no, worker, err_code, err_msg, trade_status, decision, reason, response)
		VALUES ($1, 1, $2, $2, $2, $2, 'review', $2, jsonb_build_object($2::text, $2::text))`, id, hostile)
	w.exec(t, `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload) VALUES ($1, $2, $2, 'order.review', jsonb_build_object('review_reason', $3::text))`, id, short, hostile)
	w.exec(t, `INSERT INTO webhook_deliveries (event_id, attempts, next_at, last_at, last_status, last_answer) SELECT id, 3, now(), now(), 500, $1 FROM order_events`, hostile)
	w.exec(t, `INSERT INTO operator_actions (actor, via, action, order_id, scope, key, reason, evidence, before, after)
		VALUES ($2, 'cli', $2, $1, 'mid', $2, $2, $2, jsonb_build_object('status', $2::text), jsonb_build_object('status', $2::text))`, id, hostile)
	w.exec(t, `INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('mid', $1, $1, $1)`, hostile)
	w.exec(t, `INSERT INTO gateway_incidents (scope, key, cause, opened_by) VALUES ('mid', $1, $1, $1)`, hostile)
	w.exec(t, `INSERT INTO instances (worker, version, trouble, settings) VALUES ($1, $1, $1, jsonb_build_object('apps', jsonb_build_array(jsonb_build_object('app_id', $1::text))))`, hostile)
	w.exec(t, `INSERT INTO event_consumers (name, xact, id) VALUES (left($1, 100), '0', 0)`, hostile)
	p := w.person(t)
	for _, path := range append(allPages(id), "/orders?q="+strings.ReplaceAll(hostile[:20], "<", "%3C"), "/orders?review=any", "/orders?status=open",
		"/orders?mid=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/audit?actor=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/orders?below=%3Cscript%3E", "/review?after=%3Cscript%3E.%3Cscript%3E") {
		a := p.get(t, path)
		a.lacks(t, "<script>alert", "<script>x", "<img", "<b>buyer", "\u202e", "\x1b")
		wantPolicy(t, a)
		if a.StatusCode >= 500 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	p.get(t, fmt.Sprintf("/orders/%d", id)).want(t, http.StatusOK, `\u202e`, "&lt;script&gt;alert(1)&lt;/script&gt;")
	for path, says := range map[string]string{"/review?reason=%3Cscript%3E": "amount_mismatch", "/audit?action=%3Cscript%3E": "resolve"} {
		page := p.get(t, path)
		page.want(t, http.StatusBadRequest, says)
		page.lacks(t, "cannot be asked", "<script>")
	}
	for _, path := range []string{"/orders?mid=%00", "/orders?q=%00%ff123456", "/audit?actor=%ff", "/review?mid=%00", "/events?event=%00"} {
		if a := p.get(t, path); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

func TestBuyersAreMasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	paid, _ := w.fill(t)
	a := w.person(t).get(t, fmt.Sprintf("/orders/%d", paid))
	a.want(t, http.StatusOK, "oX9***4f", "totalAmount")
	a.lacks(t, "oX9aB3longbuyer4f")
}

// The gateway says 交易不存在 (no such trade) of an order that is merely unpaid. The story says what
// that status means instead, and the message only where it explains an error.
func TestStoryLeavesOutOrdinaryMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	id := w.insert(t, mid, 100)
	w.exec(t, `INSERT INTO order_queries (order_id, claim_no, err_code, err_msg, trade_status, decision) VALUES
		($1, 1, 'SUCCESS', '交易不存在', 'NEW_ORDER', 'deferred'), ($1, 2, 'NO_ORDER', '无法找到指定的订单', NULL, 'deferred'),
		($1, 3, 'SUCCESS', '交易不存在', 'WAIT_BUYER_PAY', 'deferred')`, id)
	p := w.person(t)
	path := fmt.Sprintf("/orders/%d", id)
	for lang, words := range map[string][]string{
		"en": {"NEW_ORDER (not paid yet)", "NO_ORDER 无法找到指定的订单", "The gateway says WAIT_BUYER_PAY (waits for the payer)"},
		"zh": {"NEW_ORDER（尚未付款）", "NO_ORDER 无法找到指定的订单", "网关答复 WAIT_BUYER_PAY（等待付款）"},
	} {
		a := p.get(t, path, "Accept-Language", lang)
		a.want(t, http.StatusOK, words...)
		a.lacks(t, "交易不存在")
	}
}

// A stranger's page can give its own name our address. It must not read the console through that.
func TestForeignHostIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	p := w.person(t)
	p.get(t, "/", "Host", "evil.example").want(t, http.StatusMisdirectedRequest)
	for _, host := range []string{"localhost:9465", "127.0.0.1", "[::1]:9465"} {
		p.get(t, "/", "Host", host).want(t, http.StatusOK)
	}
}

// A page waits for the database for five seconds and then says so. The overview, which has several
// statements, waits once: after one that was ended it reads nothing more.
func TestStatementsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	tx, err := w.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // the test has ended
	if _, err := tx.Exec(t.Context(), `LOCK TABLE orders, gateway_incidents IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	t.Run("while the tables are locked", func(t *testing.T) { // ends when all of them have ended
		for _, path := range []string{"/orders", "/gateway"} {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				w.person(t).get(t, path).want(t, http.StatusServiceUnavailable, "longer than 5 seconds")
			})
		}
		t.Run("/", func(t *testing.T) {
			t.Parallel()
			a := w.person(t).get(t, "/")
			a.want(t, http.StatusOK, "what is open could not be read", "answers and outcomes could not be read")
			a.lacks(t, "nothing is open", "no question in the last hour")
		})
	})
}

// Each choice that a filter offers is one that its page takes.
func TestFiltersOfferWhatPagesTake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	p := w.person(t)
	choice := regexp.MustCompile(`<option value="([^"]*)"`)
	for _, path := range []string{"/orders", "/review", "/events", "/audit"} {
		for _, filter := range regexp.MustCompile(`(?s)<select[^>]* name="([a-z_]+)".*?</select>`).FindAllStringSubmatch(p.get(t, path).body, -1) {
			for _, value := range choice.FindAllStringSubmatch(filter[0], -1) {
				p.get(t, path+"?"+url.Values{filter[1]: {html.UnescapeString(value[1])}}.Encode()).want(t, http.StatusOK)
			}
		}
	}
	p.get(t, "/audit").want(t, http.StatusOK, `value="run-once --despite-pause"`)
}

// A console without a database says that the database is away: people look at it for that.
func TestNoDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, func(o *consoleOptions) {
		s, err := store.OpenForPages(t.Context(), "postgres://nobody@127.0.0.1:1/nowhere?connect_timeout=2")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		o.Desk.Store = s
	})
	p := w.person(t)
	overview := p.get(t, "/")
	overview.want(t, http.StatusOK, "CRITICAL", "cannot be reached", "what is open could not be read")
	overview.lacks(t, "¥0.00", "nothing is open", "no question in the last hour")
	p.get(t, "/orders").want(t, http.StatusServiceUnavailable, "cannot be asked")
}
