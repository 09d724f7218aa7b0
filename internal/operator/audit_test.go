package operator

import "testing"

// The list of actions answers who settled an order, with which amount, and who changed its numbers.
func TestActionChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ before, after, want string }{
		{
			`{"status": "UNKNOWN", "review_reason": "amount_mismatch", "tid": "88880001", "total_amount": null}`,
			`{"status": "TRADE_SUCCESS", "review_reason": null, "tid": "88880001", "total_amount": 1500, "refund_amount": 0}`,
			"UNKNOWN → TRADE_SUCCESS; total_amount – → ¥15.00; refund_amount – → ¥0.00",
		},
		{
			`{"status": "UNKNOWN", "review_reason": "bad_request", "tid": "88880001", "target_order_id": null}`,
			`{"status": "UNKNOWN", "review_reason": null, "tid": "88880002", "target_order_id": "4200"}`,
			"review_reason bad_request → –; tid 88880001 → 88880002; target_order_id – → 4200",
		},
		{`{"status": "UNKNOWN"}`, `{"status": "UNKNOWN"}`, ""},
		{`[{"key": "x"}]`, `{"all": true}`, ""},
		{``, `{"count": 2}`, ""},
	} {
		if got := (Action{Before: []byte(test.before), After: []byte(test.after)}).Change(); got != test.want {
			t.Errorf("%s, %s:\n%q, want\n%q", test.before, test.after, got, test.want)
		}
	}
}

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
