package ops

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

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

// An alert on a metric that nobody exports is quiet for ever. Each that is named is
// there when nothing has happened yet, with the label values that are asked for.
func TestAlertsReadWhatIsExported(t *testing.T) {
	t.Parallel()
	fresh, troubled := NewMetrics(), NewMetrics()
	fresh.Watch(readerFunc(func(context.Context) (store.Backlog, error) { return store.Backlog{}, nil }), never)
	troubled.Watch(readerFunc(func(context.Context) (store.Backlog, error) {
		return store.Backlog{Pauses: []store.Control{{Scope: store.ScopeApp, Key: "an app", SetBy: store.Breaker}}}, nil
	}), never)
	// The pauses are the only labels that cannot be there before their time.
	series := slices.Concat(strings.Split(scrape(t, fresh), "\n"), strings.Split(scrape(t, troubled), "\n"))
	for _, a := range alerts(t) {
		named := selectors.FindAllStringSubmatch(a.Expr, -1)
		if len(named) == 0 {
			t.Errorf("%s reads nothing: %s", a.Alert, a.Expr)
		}
		for _, selector := range named {
			metric := selector[1]
			if len(figures(t, fresh, metric+" ", metric+"{")) == 0 {
				t.Errorf("%s reads %s, which is not exported", a.Alert, metric)
			}
			for _, m := range matchers.FindAllStringSubmatch(selector[2], -1) {
				for value := range strings.SplitSeq(m[3], "|") {
					label := m[1] + `="` + value + `"`
					if !slices.ContainsFunc(series, func(line string) bool {
						return strings.HasPrefix(line, metric+"{") && strings.Contains(line, label)
					}) {
						t.Errorf("%s reads %s with %s, which there never is", a.Alert, metric, label)
					}
				}
			}
		}
	}
}

// An alert that does not say what to do is one that fires for weeks.
func TestAlertsSayWhatHelps(t *testing.T) {
	t.Parallel()
	program := regexp.MustCompile(`(?m)^(reconciler (run-once|resume)|psql "\$DATABASE_URL" -c|curl -s http://)`)
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
