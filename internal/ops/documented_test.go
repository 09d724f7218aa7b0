package ops

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Every metric has a row in docs/operate.md, with its labels, and every row is a metric.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(reconciler_[a-z_]+)` \\|([^|]*)\\|").FindAllStringSubmatch(string(content), -1) {
		documented[row[1]] = strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(row[2]), "`", ""), ", ", ",")
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		m := NewMetrics()
		m.WatchReady(&Status{})
		m.SetBuild("v1", 1)
		m.registry.Describe(descs)
	}()
	form := regexp.MustCompile(`fqName: "(reconciler_[a-z_]+)".*variableLabels: \{([^}]*)\}`)
	exported := make(map[string]bool)
	for desc := range descs {
		match := form.FindStringSubmatch(desc.String())
		if match == nil {
			continue // of the Go runtime or the process
		}
		exported[match[1]] = true
		labels, known := documented[match[1]]
		switch {
		case !known:
			t.Errorf("docs/operate.md has no row for %s", match[1])
		case labels != match[2]:
			t.Errorf("docs/operate.md: the row of %s has the labels %q, the metric has %q", match[1], labels, match[2])
		}
	}
	if len(exported) == 0 {
		t.Fatal("no metric was found")
	}
	for name := range documented {
		if !exported[name] {
			t.Errorf("docs/operate.md describes %s, which is not exported", name)
		}
	}
}
