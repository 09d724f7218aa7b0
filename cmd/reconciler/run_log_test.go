package main_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
)

const (
	cardNumber = "6222020200112230000" // as the simulator's personal data have it
	buyerName  = "张三"
)

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// personalLives answer with personal data in every form that an answer can take.
func personalLives() [][]simulator.Step {
	const data = simulator.MutationPersonalData
	raw := fmt.Sprintf(`{"errCode":"SUCCESS","status":"TRADE_SUCCESS","bankCardNo":%q,"note":"{\"buyerUsername\":\"%s\"}"`, cardNumber, buyerName)
	lives := [][]simulator.Step{
		{paid(data)},
		{{Status: chinaums.StatusWaitBuyerPay, Mutations: []simulator.Mutation{data}}},
		{paid(data, simulator.MutationOtherOrder)},
		{paid(data, simulator.MutationTotalMissing)},
		{paid(data, simulator.MutationStatusUnknown)},
		{paid(data, simulator.MutationErrCodeMissing)},
		{paid(data, simulator.MutationTotalTwice)}, // not one JSON object to Postgres: kept as a text
		{paid(data, simulator.MutationBadPayTime)},
		{paid(data, simulator.MutationNUL)},
		{{Code: "9200", Status: chinaums.StatusTradeSuccess, Mutations: []simulator.Mutation{data}}},
		{{Code: "SOMETHING_NEW", Mutations: []simulator.Mutation{data}}},
		{{Status: chinaums.StatusTradeSuccess, Fault: simulator.FaultTruncated, Mutations: []simulator.Mutation{data}}},
		{{Raw: raw + "}"}},
		{{Raw: raw}}, // cut off
		{{Raw: "<html>" + raw + "</html>"}},
	}
	for _, m := range []simulator.Mutation{simulator.MutationTotalTooBig, simulator.MutationStatusTwiceDifferent, simulator.MutationInvalidUTF8} {
		lives = append(lives, []simulator.Step{paid(data, m)})
	}
	return lives
}

func TestNothingPersonalIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lives := personalLives()
	for _, life := range lives {
		w.orders(t, 1, life...)
	}
	p := w.start(t, "run")
	eventually(t, "every order has been asked about", func() bool {
		return scan[int](t, w, `SELECT count(DISTINCT order_id) FROM order_queries`) == len(lives)
	})
	p.stop(t)

	for place, text := range map[string]string{"output": p.stdout.String() + p.stderr.String(), "tables": w.dump(t)} {
		for _, secret := range []string{appKey, cardNumber, buyerName} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s hold %q: …%s…", place, secret, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
	masked := scan[string](t, w, `SELECT response->>'bankCardNo' FROM order_queries WHERE order_id = 1`)
	if masked != "***" {
		t.Errorf("the card number is stored as %q", masked)
	}
}

func TestRunLogsJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.orders(t, 1, paid())
	w.orders(t, 1, paid(simulator.MutationOtherOrder))
	w.orders(t, 1, simulator.Step{Code: "NO_SUCH_CODE"})
	w.orders(t, 1, paid(simulator.MutationBadSettleDate))
	w.orders(t, 1, simulator.Step{Fault: simulator.FaultEmpty})
	p := w.start(t, "run")
	eventually(t, "every order has been asked about", func() bool {
		return scan[int](t, w, `SELECT count(DISTINCT order_id) FROM order_queries`) == 5
	})
	p.stop(t)

	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	levels := make(map[string]int)
	for _, line := range lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("not JSON: %s", line)
			continue
		}
		for key := range record {
			if !snakeCase.MatchString(key) {
				t.Errorf("key %q is not snake case: %s", key, line)
			}
		}
		for _, key := range []string{"time", "level", "msg"} {
			if text, _ := record[key].(string); text == "" {
				t.Errorf("no %s: %s", key, line)
			}
		}
		levels[fmt.Sprint(record["level"])]++
	}
	if p.stdout.String() != "" {
		t.Errorf("stdout = %q, want nothing: logs go to stderr", p.stdout)
	}
	// A review, an unknown code and an unreadable field are for somebody to look at.
	if levels["WARN"] < 3 {
		t.Errorf("lines by level = %v, want at least 3 warnings", levels)
	}
}

func TestLogSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("RECONCILER_LOG_LEVEL=info", "RECONCILER_LOG_FORMAT=text")
	w.orders(t, 1, paid())
	p := w.start(t, "run")
	p.awaitLog(t, "level=INFO msg=\"pass finished\"")
	p.stop(t)
	if strings.Contains(p.stderr.String(), "level=DEBUG") {
		t.Error("debug lines at level info")
	}

	w.set("RECONCILER_LOG_LEVEL=error", "RECONCILER_LOG_FORMAT=json")
	if r := w.invoke(t, "run-once"); r.stderr != "" {
		t.Errorf("at level error, stderr = %q", r.stderr)
	}
}
