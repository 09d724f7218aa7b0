package main_test

import "testing"

// What changes nothing says the same in each run.
func TestGoldensOfQuestions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, created_at, expires_at)
		VALUES ('`+mid+`', '1234', '319400000001', 100, now() - interval '2 hours', now() - interval '1 hour')`)
	w.set("CHINAUMS_BASE_URL=http://127.0.0.1:1")
	w.goldens(t, 0, "config", "config", "--actor=王丽")
	for _, form := range []string{"text", "json"} {
		r := w.invoke(t, "grants", "--role=shop", "--for=viewer", "--schema=public", "--output="+form)
		r.want(t, 0)
		goldenOf(t, "grants."+form, r.stdout)
	}
	w.goldens(t, 0, "migrate-status", "migrate", "status")
	w.goldens(t, 0, "plan", "plan", "--next=2h", "--plan-initial=15s", "--plan-max=1h", "--plan-jitter=0")
	w.goldens(t, 0, "prune", "prune", "--older-than=720h", "--dry-run")
}

// What changes something is done once in each form.
func TestGoldensOfActions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, review_reason, next_query_at)
		SELECT '`+mid+`', '1234', '31940000000' || n, 1290, 'UNKNOWN', 'amount_missing', NULL FROM generate_series(1, 8) AS n`)
	forms := []struct{ name, lang, form, first, second string }{
		{"en.text", "en", "text", "319400000001", "319400000005"},
		{"en.json", "en", "json", "319400000002", "319400000006"},
		{"zh.text", "zh", "text", "319400000003", "319400000007"},
		{"zh.json", "zh", "json", "319400000004", "319400000008"},
	}
	for _, f := range forms {
		for _, action := range []struct {
			name string
			args []string
		}{
			{"pause", []string{"pause", "--mid=" + mid, "--until=2099-01-01", "--reason=ticket 812"}},
			{"resume", []string{"resume", "--mid=" + mid, "--reason=done"}},
			{"review-resolve", []string{"review", "resolve", f.first, "--as=TRADE_SUCCESS", "--reason=slip", "--evidence=4200054099", "--yes"}},
			{"review-retry", []string{"review", "retry", f.second, "--set=tid=88880002", "--reason=the terminal was wrong"}},
		} {
			r := w.invoke(t, append(action.args, "--actor=li", "--lang="+f.lang, "--output="+f.form)...)
			r.want(t, 0)
			goldenOf(t, action.name+"."+f.name, r.stdout)
		}
	}
}
