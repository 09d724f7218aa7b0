package console_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"reconciler/internal/store"
)

// browserPatience bounds everything that the browser does. It is long: machines differ.
const browserPatience = 8 * time.Minute

// browser is a Chromium with one tab. Everything that it complains about fails the test.
type browser struct {
	ctx context.Context
	w   *world

	mu         sync.Mutex
	complaints []string
	allowed    string // a complaint that is expected
}

// newBrowser starts Debian's Chromium, or another one of that name.
func newBrowser(t *testing.T, w *world) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("there is no chromium: scripts/ensure-chromium installs it, or says how")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.Headless,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(2*time.Minute),
	)
	ctx, cancelTime := context.WithTimeout(context.Background(), browserPatience)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	b := &browser{w: w}
	ctx, cancelTab := chromedp.NewContext(ctx, chromedp.WithListener(b.listen))
	b.ctx = ctx
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process
		cancelTab()
		cancelAllocator()
		cancelTime()
	})
	b.run(t, chromedp.Navigate("about:blank"))
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: axe(t)}); err != nil {
		t.Fatal(err)
	}
	return b
}

// listen keeps what the page's console says, and dialogs: only a text that was run opens one.
func (b *browser) listen(event any) {
	complaint := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = "exception: " + fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *runtime.EventConsoleAPICalled:
		complaint = "console: " + string(e.Type)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			complaint = "log: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *page.EventJavascriptDialogOpening:
		complaint = "dialog: " + e.Message
		go func() {
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}) // the complaint fails the test
		}()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if complaint != "" && (b.allowed == "" || !strings.Contains(complaint, b.allowed)) {
		b.complaints = append(b.complaints, complaint)
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// open goes to a page and waits for the whole of it.
func (b *browser) open(t *testing.T, path string) {
	t.Helper()
	b.run(t, chromedp.Navigate(b.w.server.URL+path), chromedp.WaitVisible(chromedp.CSS("footer.foot")))
}

func (b *browser) text(t *testing.T, selector string) string {
	t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// eval evaluates an expression in the page.
func eval[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// wantQuiet fails where the browser has complained.
func (b *browser) wantQuiet(t *testing.T, where string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		t.Errorf("%s: %s", where, complaint)
	}
	b.complaints = nil
}

// look sets the size and the colours.
func (b *browser) look(t *testing.T, width int64, scheme string) {
	t.Helper()
	b.run(t, chromedp.EmulateViewport(width, 900))
	b.emulate(t, "screen", scheme)
}

func (b *browser) emulate(t *testing.T, media, scheme string) {
	t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media, Features: features}); err != nil {
		t.Fatal(err)
	}
}

// shoot writes a picture of the whole page, where go test -artifacts -outputdir DIR asks for it.
func (b *browser) shoot(t *testing.T, name string) {
	t.Helper()
	if wanted := flag.Lookup("test.artifacts"); wanted == nil || wanted.Value.String() != "true" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// axe is the source of axe-core, which judges whether everybody can use a page.
func axe(t *testing.T) string {
	t.Helper()
	packed, err := os.ReadFile("testdata/axe.min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	source, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// wantAccessible runs axe-core with its rules of WCAG 2 A and AA, contrast among them, and its best
// practices.
func (b *browser) wantAccessible(t *testing.T, where string) {
	t.Helper()
	type node struct {
		Target  []any  `json:"target"`
		Summary string `json:"failureSummary"`
	}
	type violation struct {
		ID    string `json:"id"`
		Nodes []node `json:"nodes"`
	}
	text := eval[string](t, b, `axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
		.then(r => JSON.stringify(r.violations.map(v => ({id: v.id, nodes: v.nodes.map(n => ({target: n.target, failureSummary: n.failureSummary}))}))))`)
	var violations []violation
	if err := json.Unmarshal([]byte(text), &violations); err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		for _, n := range v.Nodes {
			t.Errorf("%s: axe: %s: %v: %s", where, v.ID, n.Target, n.Summary)
		}
	}
}

// Everything that a person does in a browser, in one: to start it costs most.
func TestBrowser(t *testing.T) {
	w := newWorld(t, store.ForOperator, withActions(t))
	paid, review := w.fill(t)
	w.exec(t, `INSERT INTO orders (mid, tid, mer_order_id, order_amount, status, total_amount, settled_by, settled_at, created_at)
		SELECT $1, '88880001', '3195' || lpad(i::text, 10, '0'), 1000 + i, 'TRADE_SUCCESS', 1000 + i, 'query', now(), now() - i * interval '7 minutes' FROM generate_series(1, 70) AS i`, mid)
	w.fillPlots(t)
	w.exec(t, `UPDATE orders SET review_note = $2, last_error = $2 WHERE id = $1`, review, `<img src=x onerror="alert(1)"><script>alert(2)</script>`)
	b := newBrowser(t, w)
	t.Run("pages", func(t *testing.T) {
		browsePages(t, b, append(allPages(paid), fmt.Sprintf("/orders/%d", review), "/login"))
	})
	t.Run("find", func(t *testing.T) { browseOrders(t, b, paid) })
	t.Run("act", func(t *testing.T) { browseActions(t, b, review) })
}

// fillPlots gives the plots hours and days to show. What is learned lies in the past, so no list
// begins with it.
func (w *world) fillPlots(t *testing.T) {
	t.Helper()
	w.exec(t, `INSERT INTO order_queries (order_id, claim_no, queried_at, duration_ms, worker, err_code, decision)
		SELECT 1, 1, now() - i * interval '20 seconds', 80 + i % 90, 'web-1/7', CASE WHEN i % 17 = 0 THEN 'NET_ERROR' WHEN i % 3 = 0 THEN 'NO_ORDER' ELSE 'SUCCESS' END,
		       CASE WHEN i BETWEEN 60 AND 66 THEN 'refused' WHEN i % 17 = 0 THEN 'no_answer' ELSE 'deferred' END
		FROM generate_series(170, 1, -1) AS i, generate_series(1, 1 + (i * 7) % 5)`)
	w.exec(t, `UPDATE orders SET settled_at = now() - (id % 7) * interval '1 day', status = CASE WHEN id % 9 = 0 THEN 'TRADE_REFUND' WHEN id % 5 = 0 THEN 'TRADE_CLOSED' ELSE status END
		WHERE mer_order_id LIKE '3195%'`)
	w.exec(t, `INSERT INTO order_events (order_id, mid, mer_order_id, event, payload, created_at)
		SELECT id, mid, mer_order_id, 'order.paid', '{}', settled_at FROM orders WHERE mer_order_id LIKE '3195%' ORDER BY settled_at`)
}

// browsePages opens every page in both languages, light and dark, wide and narrow. axe-core judges
// light and dark, wide and narrow once.
func browsePages(t *testing.T, b *browser, paths []string) {
	for _, look := range []struct {
		name, lang, scheme string
		width              int64
		judged             bool
	}{{"light", "en", "light", 1280, true}, {"dark", "zh", "dark", 1280, false}, {"narrow-en", "en", "dark", 400, true}} {
		b.look(t, look.width, look.scheme)
		b.open(t, "/?lang="+look.lang)
		for i, path := range paths {
			where := look.name + " " + path
			b.open(t, path)
			if got := eval[string](t, b, `document.documentElement.lang`); !strings.HasPrefix(got, look.lang) {
				t.Errorf("%s: language %s", where, got)
			}
			if wide := eval[int64](t, b, `document.documentElement.scrollWidth`); wide > look.width {
				t.Errorf("%s: %d pixels wide", where, wide)
			}
			if look.judged {
				b.wantAccessible(t, where)
			}
			b.shoot(t, fmt.Sprintf("%s-%d-%s", look.name, i, strings.Trim(strings.ReplaceAll(path, "/", "-"), "-")))
			b.wantQuiet(t, where)
		}
	}
	b.look(t, 1280, "light")
	b.open(t, "/?lang=en")
	b.browsePrint(t, paths[2])
	b.open(t, "/")
	if hold := eval[string](t, b, `document.querySelector("[data-hold]").click(), document.querySelector("[data-hold]").getAttribute("aria-pressed")`); hold != "true" {
		t.Errorf("the refresh cannot be paused: %s", hold)
	}
}

// browsePrint prints the story of an order: with all columns, on white, without what is pressed.
func (b *browser) browsePrint(t *testing.T, order string) {
	t.Helper()
	b.open(t, order)
	b.emulate(t, "print", "dark")
	b.run(t, chromedp.EmulateViewport(718, 900)) // A4 within its margins
	b.shoot(t, "print")
	got := eval[string](t, b, `[
		document.querySelector(".columns-list").getBoundingClientRect().height > 100, getComputedStyle(document.querySelector(".pages")).display,
		getComputedStyle(document.querySelector(".printed > summary")).display, getComputedStyle(document.body).backgroundColor,
		document.documentElement.scrollWidth].join(" ")`)
	if want := "true none none rgb(255, 255, 255) 718"; got != want {
		t.Errorf("in print: %s, want %s", got, want)
	}
	b.look(t, 1280, "light")
}

// browseOrders searches, filters and pages.
func browseOrders(t *testing.T, b *browser, paid int64) {
	b.open(t, "/orders")
	b.run(t, chromedp.SendKeys(chromedp.CSS("#q"), fmt.Sprintf("#%d", paid)), chromedp.Click(chromedp.CSS(".search button")), chromedp.WaitVisible(chromedp.CSS(".timeline")))
	if got := b.text(t, "h1"); !strings.Contains(got, "3194") {
		t.Errorf("the search leads to %s", got)
	}
	b.open(t, "/orders")
	b.run(t, chromedp.Click(chromedp.CSS(`a[rel="next"]`)), chromedp.WaitVisible(chromedp.CSS(".more a:not([rel])")))
	if n := eval[int](t, b, `document.querySelectorAll("tbody tr").length`); n == 0 || n >= 50 {
		t.Errorf("the second page has %d orders", n)
	}
	b.open(t, "/orders")
	b.run(t, chromedp.SetValue(chromedp.CSS("#status"), "open"), chromedp.Click(chromedp.CSS(".filters button")), chromedp.WaitVisible(chromedp.CSS(`.filters a[href="/orders"]`)))
	if n := eval[int](t, b, `document.querySelectorAll("tbody tr").length`); n != 3 {
		t.Errorf("%d open orders", n)
	}
	b.wantQuiet(t, "orders")
}

// browseActions logs in, settles an order, meets a stale page, and logs out.
func browseActions(t *testing.T, b *browser, review int64) {
	order := fmt.Sprintf("/orders/%d", review)
	b.open(t, "/login?to="+order)
	b.run(t, chromedp.SendKeys(chromedp.CSS("#name"), "wang.li"), chromedp.SendKeys(chromedp.CSS("#password"), password), chromedp.Click(chromedp.CSS("main button")), chromedp.WaitVisible(chromedp.CSS(".user")))
	prepare := func() {
		t.Helper()
		b.open(t, order)
		b.run(t, chromedp.Click(chromedp.CSS("details.act > summary")), chromedp.WaitVisible(chromedp.CSS("#as")), chromedp.SetValue(chromedp.CSS("#as"), "TRADE_CLOSED"),
			chromedp.SendKeys(chromedp.CSS("#reason-resolve"), "closed on the platform"), chromedp.Click(chromedp.CSS("details.act[open] button")), chromedp.WaitVisible(chromedp.CSS(".confirm")))
	}
	prepare()
	b.shoot(t, "preview")
	b.wantAccessible(t, "preview")
	b.w.exec(t, `UPDATE orders SET updated_at = now() WHERE id = $1`, review)
	b.mu.Lock()
	b.allowed = "status of 409" // the browser reports the answer that is wanted
	b.mu.Unlock()
	b.run(t, chromedp.Click(chromedp.CSS(".confirm button")), chromedp.WaitVisible(chromedp.CSS(".note.bad")))
	if got := b.text(t, ".note.bad"); !strings.Contains(got, "Nothing was written") {
		t.Errorf("a stale action: %s", got)
	}
	if got := eval[string](t, b, `document.querySelector("#reason-resolve").value`); got != "closed on the platform" {
		t.Errorf("a stale action forgets what was typed: %s", got)
	}
	prepare()
	b.run(t, chromedp.Click(chromedp.CSS(".confirm button")), chromedp.WaitVisible(chromedp.CSS(".note.good")))
	if got := b.text(t, ".verdict"); !strings.Contains(got, "CLOSED") {
		t.Errorf("the order is %s", got)
	}
	if got, want := b.w.action(t), fmt.Sprintf("wang.li|console|resolve|%d|closed on the platform", review); got != want {
		t.Errorf("action %s, want %s", got, want)
	}
	b.open(t, "/gateway")
	b.shoot(t, "gateway-operator")
	b.wantAccessible(t, "gateway of an operator")
	b.run(t, chromedp.Click(chromedp.CSS(".who form button")), chromedp.WaitVisible(chromedp.CSS(`.who a[href="/login"]`)))
	b.wantQuiet(t, "actions")
}
