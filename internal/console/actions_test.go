package console_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"reconciler/internal/console"
	"reconciler/internal/store"
)

// confirm sends the form of a preview, as a browser would.
func (p *person) confirm(t *testing.T, preview answer) answer {
	t.Helper()
	action := regexp.MustCompile(`<form method="post" action="([^"]+)" class="confirm">`).FindStringSubmatch(preview.body)
	if action == nil {
		t.Fatalf("there is nothing to confirm:\n%s", preview.body)
	}
	var fields []string
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`).FindAllStringSubmatch(preview.body, -1) {
		fields = append(fields, m[1], html.UnescapeString(m[2]))
	}
	return p.post(t, action[1], fields...)
}

func newActor(t *testing.T) (*world, *person) {
	t.Helper()
	w := newWorld(t, store.ForOperator, withActions(t))
	p := w.person(t)
	p.signIn(t, "wang.li")
	return w, p
}

// action is the latest row of the audit.
func (w *world) action(t *testing.T) string {
	t.Helper()
	return scan[string](t, w, `SELECT concat_ws('|', actor, via, action, order_id, scope, key, reason, evidence) FROM operator_actions ORDER BY id DESC LIMIT 1`)
}

func TestResolve(t *testing.T) {
	t.Parallel()
	w, p := newActor(t)
	_, id := w.fill(t)
	path := fmt.Sprintf("/orders/%d", id)
	p.get(t, path).want(t, http.StatusOK, `action="`+path+`/resolve"`, `action="`+path+`/retry"`)
	fields := []string{"as", "TRADE_SUCCESS", "amount", "¥50.00", "pay_time", "2026-01-31 09:00", "settle_date", "2026-02-01", "reason", "paid <b>in the shop</b>", "evidence", "slip 5512"}
	preview := p.post(t, path+"/resolve", fields...)
	preview.want(t, http.StatusOK, "Nothing is written yet", "UNKNOWN (amount_mismatch)", "TRADE_SUCCESS", "¥50.00", "2026-01-31 09:00:00", "order.paid", "wang.li", "paid &lt;b&gt;in the shop&lt;/b&gt;")
	if n := scan[int](t, w, `SELECT count(*) FROM operator_actions WHERE actor = 'wang.li'`); n != 0 {
		t.Fatal("the preview has written")
	}
	done := p.confirm(t, preview)
	done.want(t, http.StatusSeeOther)
	p.get(t, done.Header.Get("Location")).want(t, http.StatusOK, "resolve · #", "A person settled it", "wang.li: resolve")
	if got, want := w.action(t), fmt.Sprintf("wang.li|console|resolve|%d|paid <b>in the shop</b>|slip 5512", id); got != want {
		t.Errorf("action %s, want %s", got, want)
	}
	if got := scan[string](t, w, `SELECT concat_ws('|', status, settled_by, total_amount, settle_date, coalesce(review_reason, 'none')) FROM orders WHERE id = $1`, id); got != "TRADE_SUCCESS|hand|5000|2026-02-01|none" {
		t.Errorf("order: %s", got)
	}
	p.confirm(t, preview).want(t, http.StatusUnprocessableEntity, "settled already") // a second click
	if n := scan[int](t, w, `SELECT count(*) FROM order_events WHERE order_id = $1 AND event = 'order.paid'`, id); n != 1 {
		t.Errorf("%d events", n)
	}
}

// Whatever changed between the two pages, nothing is written.
func TestStaleAction(t *testing.T) {
	t.Parallel()
	w, p := newActor(t)
	_, id := w.fill(t)
	path := fmt.Sprintf("/orders/%d", id)
	for name, change := range map[string]string{
		"amount":   `UPDATE orders SET order_amount = order_amount + 1 WHERE id = $1`,
		"status":   `UPDATE orders SET status = 'WAIT_BUYER_PAY' WHERE id = $1`,
		"reason":   `UPDATE orders SET review_reason = 'poison' WHERE id = $1`,
		"claim":    `UPDATE orders SET claim_no = claim_no + 1 WHERE id = $1`,
		"touched":  `UPDATE orders SET updated_at = now() WHERE id = $1`,
		"terminal": `UPDATE orders SET tid = '99999999' WHERE id = $1`,
	} {
		resolve := p.post(t, path+"/resolve", "as", "TRADE_CLOSED", "reason", "closed there")
		retry := p.post(t, path+"/retry", "reason", "again")
		w.exec(t, change, id)
		p.confirm(t, resolve).want(t, http.StatusConflict, "Nothing was written")
		p.confirm(t, retry).want(t, http.StatusConflict, "Nothing was written")
		if n := scan[int](t, w, `SELECT count(*) FROM operator_actions WHERE via = 'console'`); n != 0 {
			t.Fatalf("%s: something was written", name)
		}
	}
	w.exec(t, `UPDATE orders SET lease_until = now() + interval '10 minutes', claimed_by = 'web-1/7' WHERE id = $1`, id)
	p.post(t, path+"/resolve", "as", "TRADE_CLOSED", "reason", "x").want(t, http.StatusConflict, "in flight")
	p.post(t, path+"/resolve", "as", "TRADE_CLOSED", "reason", "x", "shown", "made-up").want(t, http.StatusConflict)
}

func TestRetry(t *testing.T) {
	t.Parallel()
	w, p := newActor(t)
	paid, id := w.fill(t)
	preview := p.post(t, fmt.Sprintf("/orders/%d/retry", id), "tid", "88889999", "reason", "wrong terminal")
	preview.want(t, http.StatusOK, "amount_mismatch", "88880001", "88889999", "at once")
	p.confirm(t, preview).want(t, http.StatusSeeOther)
	if got := scan[string](t, w, `SELECT concat_ws('|', tid, coalesce(review_reason, 'none'), next_query_at <= now()) FROM orders WHERE id = $1`, id); got != "88889999|none|t" {
		t.Errorf("order: %s", got)
	}
	if got, want := w.action(t), fmt.Sprintf("wang.li|console|retry|%d|wrong terminal", id); got != want {
		t.Errorf("action %s, want %s", got, want)
	}
	p.post(t, fmt.Sprintf("/orders/%d/retry", paid), "reason", "x").want(t, http.StatusUnprocessableEntity, "is settled")
	p.post(t, "/orders/999999/retry", "reason", "x").want(t, http.StatusNotFound)
}

// A form that cannot be done is refused in the person's language, by the page's fields: no page
// names a flag of the command line. What was typed stays in the form.
func TestRefusedForms(t *testing.T) {
	t.Parallel()
	w, p := newActor(t)
	paid, id := w.fill(t)
	flying := w.insert(t, mid, 1, `review_reason = 'poison', next_query_at = NULL, claimed_by = 'web-1/7', lease_until = now() + interval '10 minutes'`)
	waiting := w.insert(t, mid, 1)
	form := func(pairs ...string) map[string][]string {
		fields := make(map[string][]string)
		for i := 0; i < len(pairs); i += 2 {
			fields[pairs[i]] = []string{pairs[i+1]}
		}
		if fields["reason"] == nil {
			fields["reason"] = []string{"x"}
		}
		return fields
	}
	resolve, retry := func(id int64) string { return fmt.Sprintf("/orders/%d/resolve", id) }, func(id int64) string { return fmt.Sprintf("/orders/%d/retry", id) }
	success := func(pairs ...string) map[string][]string {
		return form(append([]string{"as", "TRADE_SUCCESS"}, pairs...)...)
	}
	for _, tt := range []struct {
		path   string
		form   map[string][]string
		status int
		en, zh string
	}{
		{resolve(id), success("reason", "   "), 400, "A reason is required.", "必须填写原因。"},
		{resolve(id), form("as", "NOT_FOUND"), 422, "Choose the outcome", "请选择结果"},
		{resolve(id), success("amount", "0.01"), 422, "Tick the box", "¥0.01 与应付金额 ¥50.00 不一致"},
		{resolve(id), success("amount", "1.234"), 422, "must be such as 1290.50", "金额格式应如 1290.50"},
		{resolve(id), success("amount", "-1"), 422, "must be such as 1290.50", "金额格式应如 1290.50"},
		{resolve(id), success("refund_amount", "9999999999999999"), 422, "must be such as 1290.50", "金额格式应如 1290.50"},
		{resolve(id), success("refund_amount", "51"), 422, "The refund, ¥51.00, is greater", "退款金额 ¥51.00 大于"},
		{resolve(id), form("as", "TRADE_CLOSED", "refund_amount", "51"), 422, "The refund, ¥51.00, is greater", "退款金额 ¥51.00 大于"},
		{resolve(id), success("pay_time", "2999-01-31 09:00"), 422, "The pay time, 2999-01-31T09:00:00+08:00, is in the future", "晚于当前时间"},
		{resolve(id), success("pay_time", "yesterday", "settle_date", "2026-13-01"), 422, "A day must be such as", "日期格式应如"},
		{resolve(paid), success(), 422, "settled already, as TRADE_SUCCESS", "此订单已有结果：TRADE_SUCCESS"},
		{resolve(flying), success(), 409, "in flight, by web-1/7", "web-1/7 正在查询此订单"},
		{retry(paid), form(), 422, "is not asked again", "不再查询"},
		{retry(waiting), form(), 422, "not under review", "不在人工复核中"},
		{retry(id), form("tid", "1"), 422, "tid must have 2 to 32 characters", "tid 的长度应为 2 到 32 个字符"},
		{"/gateway/pause", form("scope", "all", "key", "x"), 422, "Choose a merchant or an app id", "请选择商户或应用"},
		{"/gateway/pause", form("scope", "mid", "key", "898340149999999"), 422, "No order is of merchant 898340149999999", "没有商户 898340149999999 的订单"},
		{"/gateway/pause", form("scope", "app", "key", "nobody"), 422, "App id nobody is neither", "应用 nobody 既不在"},
		{"/gateway/pause", form("scope", "mid", "key", mid, "until", "2020-01-01"), 422, "2020-01-01 has passed", "2020-01-01 已经过去"},
		{"/gateway/pause", form("scope", "mid", "key", mid, "until", "soon"), 422, "A time must be such as", "时间格式应如"},
		{"/gateway/pause", form("scope", "mid", "key", otherMID), 409, "support ticket 812. Tick the box", "他人设置的暂停仍在生效"},
		{"/gateway/resume", form("scope", "mid", "key", mid), 409, "merchant " + mid + " is not paused", "商户 " + mid + "未被暂停"},
		{resolve(id), map[string][]string{"reason": {strings.Repeat("x", 70_000)}}, 400, "A reason is required.", "必须填写原因。"}, // larger than a form may be
	} {
		for lang, want := range map[string]string{"en": tt.en, "zh": tt.zh} {
			p.get(t, "/?lang="+lang).want(t, http.StatusSeeOther)
			a := p.do(t, http.MethodPost, tt.path, tt.form)
			a.want(t, tt.status)
			offered := strings.Contains(a.body, `action="`+tt.path+`"`) && tt.path != "/gateway/resume"
			if typed := tt.form["reason"][0]; offered && len(typed) < 1000 && !strings.Contains(a.body, ">"+typed+"</textarea>") {
				t.Errorf("%s %v forgets what was typed", tt.path, tt.form)
			}
			text := html.UnescapeString(regexp.MustCompile(`(?s)role="alert">.*?</p>`).FindString(a.body))
			if !strings.Contains(text, want) {
				t.Errorf("%s %v does not say %q:\n%s", tt.path, tt.form, want, text)
			}
			if flag := regexp.MustCompile(`\s--[a-z-]+`).FindString(text); flag != "" || strings.Contains(text, "bad usage") || strings.Contains(text, `class="detail"`) {
				t.Errorf("%s speaks of the command line: %s\n%s", tt.path, flag, text)
			}
		}
	}
	if n := scan[int](t, w, `SELECT count(*) FROM operator_actions WHERE via = 'console'`); n != 0 {
		t.Errorf("%d actions", n)
	}
	p.get(t, "/?lang=en")
	p.post(t, resolve(id), "as", "TRADE_SUCCESS", "amount", "0.01", "accept_amount", "true", "reason", "x").want(t, http.StatusOK, "¥0.01")
	taken := scan[string](t, w, `SELECT mer_order_id FROM orders WHERE id = $1`, paid)
	p.confirm(t, p.post(t, retry(id), "mer_order_id", taken, "reason", "x")).want(t, http.StatusUnprocessableEntity, "Another order of the merchant has this number")
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w, p := newActor(t)
	w.fill(t)
	preview := p.post(t, "/gateway/pause", "scope", "mid", "key", mid, "until", "2h", "reason", "works at the bank")
	preview.want(t, http.StatusOK, "merchant "+mid, "nothing is paused", "1 order, ¥129.00")
	p.confirm(t, preview).want(t, http.StatusSeeOther)
	if got := scan[string](t, w, `SELECT concat_ws('|', set_by, reason, paused_until > now() + interval '1 hour') FROM gateway_controls WHERE key = $1`, mid); got != "wang.li|works at the bank|t" {
		t.Errorf("pause: %s", got)
	}
	p.confirm(t, preview).want(t, http.StatusConflict, "Nothing was written")
	p.get(t, "/gateway").want(t, http.StatusOK, "works at the bank", `action="/gateway/resume"`)
	resume := p.post(t, "/gateway/resume", "scope", "mid", "key", mid, "reason", "the bank is back")
	resume.want(t, http.StatusOK, "works at the bank")
	p.confirm(t, resume).want(t, http.StatusSeeOther)
	if got, want := w.action(t), "wang.li|console|resume|mid|"+mid+"|the bank is back"; got != want {
		t.Errorf("action %s, want %s", got, want)
	}
	p.confirm(t, resume).want(t, http.StatusConflict)

	// Another person's pause is replaced only where that is asked for, and only the one that was
	// shown.
	p.post(t, "/gateway/pause", "scope", "mid", "key", otherMID, "reason", "mine").want(t, http.StatusConflict, "Another person", "support ticket 812")
	stale := p.post(t, "/gateway/pause", "scope", "mid", "key", otherMID, "replace", "true", "reason", "mine")
	stale.want(t, http.StatusOK, "support ticket 812")
	staleResume := p.post(t, "/gateway/resume", "scope", "mid", "key", otherMID, "reason", "mine")
	w.exec(t, `UPDATE gateway_controls SET reason = 'ticket 813', set_at = now() WHERE key = $1`, otherMID)
	p.confirm(t, stale).want(t, http.StatusConflict)
	p.confirm(t, staleResume).want(t, http.StatusConflict)
	if got := scan[string](t, w, `SELECT reason FROM gateway_controls WHERE key = $1`, otherMID); got != "ticket 813" {
		t.Errorf("the pause is %s", got)
	}
	p.post(t, "/gateway/pause", "scope", "app", "key", appID, "reason", "all of it").want(t, http.StatusOK, "app id "+appID)
}

// Who may not act is offered nothing, and is refused.
func TestWhoMayAct(t *testing.T) {
	t.Parallel()
	actions := []string{"/orders/1/resolve", "/orders/1/retry", "/gateway/pause", "/gateway/resume"}
	offered := []string{"<form method=\"post\" action=\"/orders", "<form method=\"post\" action=\"/gateway"}
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		users := withUsers(t)
		w := newWorld(t, store.ForViewer, users)
		_, id := w.fill(t)
		p := w.person(t)
		p.signIn(t, "wang.li")
		for _, path := range actions {
			p.post(t, path, "reason", "x").want(t, http.StatusForbidden, "read-only")
		}
		p.get(t, fmt.Sprintf("/orders/%d", id)).lacks(t, offered...)
		p.get(t, "/gateway").lacks(t, offered...)
	})
	t.Run("viewer", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, store.ForOperator, withActions(t))
		_, id := w.fill(t)
		p := w.person(t)
		p.get(t, "/gateway").want(t, http.StatusOK) // on loopback everybody may read
		for _, path := range actions {
			p.post(t, path, "reason", "x").want(t, http.StatusSeeOther) // to log in
		}
		p.signIn(t, "zhang")
		for _, path := range actions {
			p.post(t, path, "reason", "x").want(t, http.StatusForbidden, "may only read")
		}
		p.get(t, fmt.Sprintf("/orders/%d", id)).lacks(t, offered...)
		p.get(t, "/gateway").lacks(t, offered...)
		if n := scan[int](t, w, `SELECT count(*) FROM operator_actions WHERE via = 'console'`); n != 0 {
			t.Errorf("%d actions", n)
		}
	})
	t.Run("loopback without users", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, store.ForViewer, func(*console.Options) {})
		for _, path := range actions {
			w.person(t).post(t, path, "reason", "x").want(t, http.StatusForbidden)
		}
	})
}
