package ops

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// promtool runs Prometheus's own checker beside the examples.
func promtool(t *testing.T, stdin string, arguments ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts promtool")
	}
	command := exec.CommandContext(t.Context(), "promtool", arguments...)
	command.Dir, command.Stdin = "../../examples", strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatal("there is no promtool: run scripts/ensure-promtool")
	}
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
}

func TestPromtoolChecksMetrics(t *testing.T) {
	t.Parallel()
	promtool(t, scrape(t, busyMetrics()), "check", "metrics")
}

func TestPromtoolChecksRules(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", "--lint-fatal", "alerts.yml")
}

func TestPromtoolTestsRules(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"alerts_test.yml", "alerts_weeks_test.yml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			promtool(t, "", "test", "rules", file)
		})
	}
}

// Each alert has a case in which it fires.
func TestEachAlertFires(t *testing.T) {
	t.Parallel()
	fires := make(map[string]bool)
	for _, path := range []string{"../../examples/alerts_test.yml", "../../examples/alerts_weeks_test.yml"} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Tests []struct {
				Checks []struct {
					Samples []struct{ Labels string } `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		if err := yaml.Unmarshal(content, &file); err != nil {
			t.Fatal(err)
		}
		for _, test := range file.Tests {
			for _, check := range test.Checks {
				for _, sample := range check.Samples {
					fires[sample.Labels] = true
				}
			}
		}
	}
	for _, a := range alerts(t) {
		if !fires[`{alertname="`+a.Alert+`"}`] {
			t.Errorf("no test lets %s fire", a.Alert)
		}
	}
}
