package ops

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// dashboard is what Grafana reads of examples/grafana.json, as far as it is checked.
type dashboard struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		Targets []struct{ Expr, RefID string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct{ Name string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile("../../examples/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// dashboardQueries are the expressions of each panel and annotation.
func dashboardQueries(t *testing.T) map[string][]string {
	t.Helper()
	queries := make(map[string][]string)
	d := readDashboard(t)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries["panel "+panel.Title] = append(queries["panel "+panel.Title], target.Expr)
		}
	}
	for _, annotation := range d.Annotations.List {
		queries["annotation "+annotation.Name] = []string{annotation.Expr}
	}
	return queries
}

// Each panel has a title, an id and a query of its own, and each of our metrics has a panel.
func TestDashboardIsComplete(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	var ids []int
	var all strings.Builder
	for _, panel := range d.Panels {
		if panel.ID == 0 || slices.Contains(ids, panel.ID) || panel.Title == "" || (panel.Type == "row") != (len(panel.Targets) == 0) {
			t.Errorf("panel %d, %q: the id is there twice, or the title or the query is missing", panel.ID, panel.Title)
		}
		ids = append(ids, panel.ID)
		for _, target := range panel.Targets {
			all.WriteString(target.Expr + "\n")
		}
	}
	read := make(map[string]bool)
	for _, match := range selectors.FindAllStringSubmatch(all.String(), -1) {
		read[match[1]] = true
	}
	for line := range strings.Lines(scrape(t, busyMetrics())) {
		name, ours := strings.CutPrefix(line, "# TYPE reconciler_")
		if !ours {
			continue
		}
		name, kind, _ := strings.Cut("reconciler_"+strings.TrimSpace(name), " ")
		if kind == "histogram" {
			name += "_bucket"
		}
		if !read[name] {
			t.Errorf("no panel reads %s", name)
		}
	}
}
