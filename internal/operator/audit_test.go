package operator

import "testing"

// An action about neither an order nor a pause says in its record what it was about.
func TestActionWhat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ action, after, en, zh string }{
		{"events resend", `{"count": 2, "events": [7, 9]}`, "events 7, 9", "事件 7, 9"},
		{"events resend", `{"count": 6, "events": [1, 2, 3, 4, 5, 6]}`, "events 1… (6)", "事件 1… (6)"},
		{"doctor --fix", `{"orders": [3]}`, "orders 3", "订单 3"},
		{"prune", `{"questions": 12, "events": 4}`, "12 questions, 4 events", "查询 12 次，事件 4 个"},
		{"prune", ``, "", ""},
		{"a newer program's", `{}`, "", ""},
	} {
		a := Action{Action: test.action, After: []byte(test.after)}
		if en, zh := a.What(Locale{Lang: "en"}), a.What(Locale{Lang: "zh"}); en != test.en || zh != test.zh {
			t.Errorf("%s %s: %q, %q, want %q, %q", test.action, test.after, en, zh, test.en, test.zh)
		}
	}
}
