package ops

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// alert is a rule of examples/alerts.yml.
type alert struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.Open("../../examples/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	decoder := yaml.NewDecoder(text)
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

var (
	selectors = regexp.MustCompile(`(reconciler_[a-z_]+)(?:\{([^}]*)\})?`)
	matchers  = regexp.MustCompile(`([a-z_]+)(=~|!=|=)"([^"]*)"`)
)

// busyMetrics are those of a daemon that has met everything whose labels cannot be there before
// their time: a pause with its orders, and a consumer.
func busyMetrics() *Metrics {
	m := newWiredMetrics()
	m.Watch(consumers{
		readerFunc: func(context.Context) (store.Backlog, error) {
			return store.Backlog{
				Pauses: []store.Control{{Scope: store.ScopeApp, Key: "an app", SetBy: store.Breaker}},
				Held:   []store.HeldPile{{Scope: store.ScopeApp, Key: "an app", Orders: 1, Amount: 100}},
			}, nil
		},
		list: []store.Unread{{Consumer: "webhook"}},
	}, never)
	return m
}

// newWiredMetrics are those that cmd wires, of a database without orders.
func newWiredMetrics() *Metrics {
	m := NewMetrics()
	m.SetBuild("v1", 1)
	m.WatchReady(&Status{})
	m.SetApps(50, []string{"an app"}, poller.AnswerClasses())
	m.Watch(readerFunc(func(context.Context) (store.Backlog, error) { return store.Backlog{}, nil }), never)
	return m
}

// A rule or a panel on a metric that nobody exports is quiet for ever. Each that is named is there,
// with the label values that are asked for.
func TestAlertsAndDashboardReadWhatIsExported(t *testing.T) {
	t.Parallel()
	lines := strings.Split(scrape(t, newWiredMetrics()), "\n")
	lines = append(lines, strings.Split(scrape(t, busyMetrics()), "\n")...)
	read := dashboardQueries(t)
	for _, a := range alerts(t) {
		read[a.Alert] = []string{a.Expr}
	}
	for reader, expressions := range read {
		for _, expr := range expressions {
			named := selectors.FindAllStringSubmatch(expr, -1)
			if len(named) == 0 {
				t.Errorf("%s reads nothing: %s", reader, expr)
			}
			for _, selector := range named {
				checkSelector(t, lines, reader, selector[1], selector[2])
			}
		}
	}
}

// checkSelector tells of a metric, a label or a label's value that no line has. The job is a label
// that Prometheus adds.
func checkSelector(t *testing.T, lines []string, reader, metric, labels string) {
	t.Helper()
	series := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !strings.HasPrefix(line, metric+" ") && !strings.HasPrefix(line, metric+"{")
	})
	if len(series) == 0 {
		t.Errorf("%s reads %s, which is not exported", reader, metric)
	}
	for _, m := range matchers.FindAllStringSubmatch(labels, -1) {
		for value := range strings.SplitSeq(m[3], "|") {
			label := m[1] + `="` + value + `"`
			if m[1] != "job" && !slices.ContainsFunc(series, func(line string) bool { return strings.Contains(line, label) }) {
				t.Errorf("%s reads %s with %s, which there never is", reader, metric, label)
			}
		}
	}
}

// An alert that does not say what to do is one that fires for weeks.
func TestAlertsSayWhatHelps(t *testing.T) {
	t.Parallel()
	program := regexp.MustCompile(`(?m)^(reconciler [a-z]|psql "\$DATABASE_URL" -c|curl -s http://)`)
	seen := make(map[string]bool)
	for _, a := range alerts(t) {
		if a.Alert == "" || seen[a.Alert] {
			t.Errorf("alert %q is without a name or there twice", a.Alert)
		}
		seen[a.Alert] = true
		if a.Annotations["summary"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary or a severity", a.Alert)
		}
		for line := range strings.Lines(strings.TrimSpace(a.Annotations["command"]) + "\n") {
			if !program.MatchString(line) {
				t.Errorf("%s: no command: %q", a.Alert, line)
			}
		}
	}
}
