package ops

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// scrape is what Prometheus would read.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	response := ask(&Status{}, m, http.MethodGet, "/metrics")
	if kind := response.Header().Get("Content-Type"); response.Code != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("/metrics = %d, %s", response.Code, kind)
	}
	return response.Body.String()
}

func outcome(decision store.Decision, reason string, roundTrips int, took time.Duration) store.Outcome {
	return store.Outcome{
		Decision: decision, Reason: reason,
		Order:    store.Order{ID: 1, MID: "898340149000005", MerOrderID: "3194202606010900"},
		Question: store.Question{RoundTrips: roundTrips, Duration: took},
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	for _, o := range []store.Outcome{
		outcome(store.Settled, "trade_success", 1, 20*time.Millisecond),
		outcome(store.Settled, "trade_closed", 2, 300*time.Millisecond),
		outcome(store.NoAnswer, "transient", 3, 20*time.Second),
		outcome(store.Refused, "credentials", 1, time.Millisecond),
		outcome(store.Review, "amount_mismatch", 1, time.Millisecond),
		outcome(store.Deferred, "unknown_status", 1, time.Millisecond),
		outcome(store.Deferred, "unresolved", 1, time.Millisecond),
		outcome(store.NotFound, "not_found", 1, time.Millisecond),
		outcome(store.Superseded, "superseded after: trade_success", 1, time.Millisecond),
	} {
		m.Observe(o)
	}
	body := scrape(t, m)
	for _, line := range []string{
		`reconciler_questions_total{decision="settled"} 2`,
		`reconciler_questions_total{decision="no_answer"} 1`,
		`reconciler_questions_total{decision="refused"} 1`,
		`reconciler_questions_total{decision="review"} 1`,
		`reconciler_questions_total{decision="deferred"} 2`,
		`reconciler_questions_total{decision="not_found"} 1`,
		`reconciler_questions_total{decision="superseded"} 1`,
		`reconciler_round_trips_total 12`,
		`reconciler_question_duration_seconds_count 9`,
		`reconciler_question_duration_seconds_bucket{le="0.025"} 7`,
		`reconciler_question_duration_seconds_bucket{le="0.5"} 8`,
		`reconciler_question_duration_seconds_bucket{le="30"} 9`,
		`reconciler_reviews_total{reason="amount_mismatch"} 1`,
		`reconciler_unexpected_answers_total{reason="unknown_status"} 1`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	// A label with a value for each order would grow without end, and tell who bought where.
	if strings.Contains(body, "898340149000005") || strings.Contains(body, "3194202606010900") {
		t.Error("the metrics name a merchant or an order")
	}
	if strings.Contains(body, "superseded after") {
		t.Error("a reason in words is a label")
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	for _, d := range []store.Decision{
		store.Settled, store.Deferred, store.NotFound, store.Review, store.NoAnswer, store.Refused, store.Superseded,
	} {
		m.Observe(outcome(d, "unknown_code", 1, time.Second))
	}
	body := scrape(t, m)
	for _, name := range []string{"reconciler_questions_total counter", "go_goroutines gauge", "process_start_time_seconds gauge"} {
		if !strings.Contains(body, "# TYPE "+name+"\n") {
			t.Errorf("the metrics lack %s", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatalf("the metrics cannot be parsed: %v", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What begins at 0 is what there can be.
func TestKnownLabels(t *testing.T) {
	t.Parallel()
	for _, reason := range unexpectedReasons() {
		if !poller.Unexpected(outcome(store.Deferred, reason, 1, time.Second)) {
			t.Errorf("%s is not unexpected", reason)
		}
	}
	given := reasonsInSource(t, `^[rR]eview[A-Z]`)
	slices.Sort(given)
	known := slices.Sorted(slices.Values(reviewReasons()))
	if diff := cmp.Diff(given, known); diff != "" {
		t.Errorf("reasons for a review (-in the source +known here):\n%s", diff)
	}
}

// reasonsInSource are the texts of the constants of poller and store with such names,
// which have no other list.
func reasonsInSource(t *testing.T, names string) []string {
	t.Helper()
	var reasons []string
	for _, folder := range []string{"../poller", "../store"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no source in %s: %v", folder, err)
		}
		for _, file := range files {
			source, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(source, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != 1 || !regexp.MustCompile(names).MatchString(spec.Names[0].Name) {
					return true
				}
				if text, ok := spec.Values[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
					reasons = append(reasons, strings.Trim(text.Value, `"`))
				}
				return true
			})
		}
	}
	return reasons
}

func TestObserveByManyAtOnce(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				m.Observe(outcome(store.Settled, "trade_success", 1, time.Millisecond))
			}
		})
		group.Go(func() { scrape(t, m) })
	}
	group.Wait()
	if body := scrape(t, m); !strings.Contains(body, `reconciler_questions_total{decision="settled"} 800`+"\n") {
		t.Error("observations were lost")
	}
}

// Two daemons in one process, as in tests, do not share their figures.
func TestMetricsAreNotGlobal(t *testing.T) {
	t.Parallel()
	a, b := NewMetrics(), NewMetrics()
	a.Observe(outcome(store.Settled, "trade_success", 1, time.Millisecond))
	if !strings.Contains(scrape(t, b), `reconciler_questions_total{decision="settled"} 0`+"\n") {
		t.Error("one's figures are in the other's")
	}
}
