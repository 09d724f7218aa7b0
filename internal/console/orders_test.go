package console_test

import (
	"encoding/csv"
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"reconciler/internal/console"
	"reconciler/internal/operator"
	"reconciler/internal/store"
	"reconciler/internal/store/storetest"
)

type consoleOptions = console.Options

// wordsInSources are the keys of the words that templates and code say.
func wordsInSources(t *testing.T) []string {
	t.Helper()
	var said []string
	paths, err := filepath.Glob("pages/*.html")
	sources, sourceErr := filepath.Glob("*.go")
	if err != nil || sourceErr != nil || len(paths) == 0 {
		t.Fatal(err, sourceErr)
	}
	for _, path := range append(paths, sources...) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pattern := regexp.MustCompile(`\bt "([a-z_0-9]+)"`)
		if strings.HasSuffix(path, ".go") {
			// Keys also stand in tables and as arguments: every text of that form that is a word
			// counts.
			pattern = regexp.MustCompile(`(?:\.t|RefuseInput)\("([a-z_0-9]+)"`)
			for _, m := range regexp.MustCompile(`"([a-z_0-9]+)"`).FindAllStringSubmatch(string(text), -1) {
				if slices.Contains([]string{"plots.go", "render.go", "actions.go", "users.go"}, path) && !strings.Contains(m[1], "-") {
					said = append(said, "?"+m[1])
				}
			}
		}
		for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
			said = append(said, m[1])
		}
	}
	return withTables(said)
}

func withTables(said []string) []string {
	var list []string
	for _, key := range said {
		key, maybe := strings.CutPrefix(key, "?")
		if !maybe || hasWord(key) {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func numbers(a answer) []string {
	var list []string
	for _, m := range regexp.MustCompile(`<a class="number" href="/orders/(\d+)">`).FindAllStringSubmatch(a.body, -1) {
		list = append(list, m[1])
	}
	return list
}

// next is the address of the next page, "" on the last one.
func (a answer) next() string {
	m := regexp.MustCompile(`<a rel="next" href="([^"]+)">`).FindStringSubmatch(a.body)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// seen walks a list from page to page.
func seen(t *testing.T, p *person, path string) (ids []string, pages int) {
	t.Helper()
	for path != "" {
		a := p.get(t, path)
		a.want(t, http.StatusOK)
		ids, path, pages = append(ids, numbers(a)...), a.next(), pages+1
		if pages > 20 {
			t.Fatal("the pages do not end")
		}
	}
	return ids, pages
}

func TestOrdersFilterAndPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, created_at, review_reason, next_query_at)
		SELECT CASE WHEN i % 10 = 0 THEN '898340149000006' ELSE '898340149000005' END, '88880001', '3194' || lpad(i::text, 10, '0'), 100 + i,
		       CASE WHEN i % 4 = 0 THEN 'TRADE_SUCCESS' WHEN i % 4 = 1 THEN 'UNKNOWN' WHEN i % 4 = 2 THEN 'NOT_FOUND' ELSE 'WAIT_BUYER_PAY' END,
		       now() - i * interval '15 minutes', CASE WHEN i % 8 = 3 THEN 'bad_request' END, CASE WHEN i % 8 <> 3 THEN now() END
		FROM generate_series(1, 240) AS i`)
	p := w.person(t)
	for _, c := range []struct {
		query, where string
	}{
		{"", "true"},
		{"status=TRADE_SUCCESS", "status = 'TRADE_SUCCESS'"},
		{"status=open", "status IN ('UNKNOWN', 'WAIT_BUYER_PAY')"},
		{"status=WAIT_BUYER_PAY", "status = 'WAIT_BUYER_PAY'"},
		{"status=NOT_FOUND", "status = 'NOT_FOUND'"},
		{"mid=898340149000006", "mid = '898340149000006'"},
		{"mid=898340149000006&status=open", "mid = '898340149000006' AND status IN ('UNKNOWN', 'WAIT_BUYER_PAY')"},
		{"review=any", "review_reason IS NOT NULL"},
		{"review=bad_request&mid=898340149000006", "review_reason IS NOT NULL AND mid = '898340149000006'"},
		{"review=poison", "false"},
		{"age=24h", "created_at > now() - interval '24 hours' AND created_at <= now() - interval '1 hour'"},
		{"age=older", "created_at <= now() - interval '24 hours'"},
		{"age=older&status=open", "created_at <= now() - interval '24 hours' AND status IN ('UNKNOWN', 'WAIT_BUYER_PAY')"},
	} {
		var want []string
		for _, id := range rows(t, w, `SELECT id FROM orders WHERE `+c.where+` ORDER BY id DESC`) {
			want = append(want, fmt.Sprint(id))
		}
		got, pages := seen(t, p, "/orders?"+c.query)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d orders, want %d", c.query, len(got), len(want))
		}
		if wanted := max(1, (len(want)+49)/50); pages != wanted {
			t.Errorf("%s: %d pages, want %d", c.query, pages, wanted)
		}
	}
	p.get(t, "/orders?below=x").want(t, http.StatusBadRequest)
}

func TestSearchByAnyNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	paid, _ := w.fill(t)
	number := scan[string](t, w, `SELECT mer_order_id FROM orders WHERE id = $1`, paid)
	w.exec(t, `UPDATE orders SET seq_id = 'SEQ-9911' WHERE id = $1`, paid)
	p := w.person(t)
	for _, q := range []string{number, "4200001234567890", "REF-77123", "SEQ-9911", fmt.Sprint(paid), fmt.Sprintf("%%23%d", paid), "+" + number + "+"} {
		a := p.get(t, "/orders?q="+q)
		a.want(t, http.StatusSeeOther)
		if to := a.Header.Get("Location"); to != fmt.Sprintf("/orders/%d", paid) {
			t.Errorf("%s leads to %s", q, to)
		}
	}
	p.get(t, "/orders?q=319499999999").want(t, http.StatusOK, "No order has this number")
	p.get(t, "/orders?q=ab").want(t, http.StatusOK, "cannot be an order")
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ($1, '88880001', $2, 1)`, otherMID, number)
	several := p.get(t, "/orders?q="+number)
	several.want(t, http.StatusOK, "Several orders", mid, otherMID)
	several.lacks(t, "orders.csv") // the file would hold all orders
}

func rows(t *testing.T, w *world, sql string) []int64 {
	t.Helper()
	return rowsOf[int64](t, w, sql)
}

// The story of an order has its raw answers folded, and says when it is asked next.
func TestStoryOfAnOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	paid, review := w.fill(t)
	open := w.insert(t, mid, 4200, `next_query_at = now() + interval '1 hour'`)
	p := w.person(t)
	p.get(t, fmt.Sprintf("/orders/%d", paid)).want(t, http.StatusOK, "¥1,290.00", "PAID, ¥1,290.00", "<details><summary>raw answer", "asked, no answer", "the application was told order.paid")
	p.get(t, fmt.Sprintf("/orders/%d", review)).want(t, http.StatusOK, "NEEDS A PERSON (amount_mismatch)", "The gateway says 0.01.", "reconciler review retry", "zhao: retry")
	p.get(t, fmt.Sprintf("/orders/%d", open)).want(t, http.StatusOK, "NOT KNOWN YET", "not due for another", "goes to a person")
	p.get(t, fmt.Sprintf("/orders/%d", open), "Accept-Language", "zh").want(t, http.StatusOK, "尚不清楚是否已支付", "转人工处理")
}

func TestCSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t, store.ForViewer, nil)
	w.fill(t)
	w.exec(t, `UPDATE orders SET mer_order_id = '=cmd|calc' WHERE id = 1`)
	w.exec(t, `UPDATE orders SET mer_order_id = '@SUM(1,2)', last_error = E'\t=1+1' WHERE id = 2`)
	w.exec(t, `INSERT INTO operator_actions (actor, via, action, reason, evidence) VALUES ('-2+3', 'cli', 'retry', '+1', '＝1')`)
	p := w.person(t)
	for path, rows := range map[string]int{"/orders.csv": 4, "/orders.csv?status=TRADE_SUCCESS": 1, "/review.csv": 1, "/audit.csv": 2} {
		a := p.get(t, path)
		a.want(t, http.StatusOK)
		if !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") {
			t.Errorf("%s: %v", path, a.Header)
		}
		list, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(a.body, "\uFEFF"))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != rows+1 {
			t.Errorf("%s: %d rows, want %d", path, len(list)-1, rows)
		}
		for _, row := range list {
			for _, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r＝", []rune(cell)[0]) {
					t.Errorf("%s: %q is a formula", path, cell)
				}
			}
		}
	}
	p.get(t, "/orders.csv").want(t, http.StatusOK, "'=cmd|calc", "1290.00")
	w.exec(t, `UPDATE orders SET next_query_at = '2031-02-03 04:05:06+08' WHERE status = 'TRADE_SUCCESS'`) // as where the application settled it
	for _, path := range []string{"/orders.csv", "/orders"} {
		p.get(t, path).lacks(t, "2031-02-03")
	}
}

func hasWord(key string) bool { return slices.Contains(operator.WordKeys(), key) }

func rowsOf[T any](t *testing.T, w *world, sql string) []T {
	t.Helper()
	return storetest.Rows[T](t, w.conn, sql)
}
