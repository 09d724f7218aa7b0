package simulator

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/chinaums"
)

func TestLoadScenario(t *testing.T) {
	t.Parallel()
	got, err := LoadScenario(strings.NewReader(`
apps: [{id: a, key: k}, {id: b, key: l, not_entitled: true}]
profile: document
seed: 7
paths: [/v1/netpay/query]
keep: 5
clock_window: 1m
auth_window: 2m
nonce_replay: true
token_life: 3m
strict_header: true
lenient_timestamp: true
bad_request_as_business: true
merchants: [{mid: "12345678", state: inactive, prefix: "3194"}]
outage: [{fault: html-502, for: 1s}]
unscripted: [{status: UNKNOWN}]
orders:
  - mid: "12345678"
    tid: t1
    inst_mid: APPDEFAULT
    mer_order_id: "3194000001"
    target_order_id: "420000"
    target_sys: Alipay 2.0
    amount: 100
    merchant_coupon: 1
    other_coupon: 2
    alliance_coupon: 3
    buyer_id: o
    merchant_name: 店
    created_at: 2026-06-01T12:00:00+08:00
    age: 1h
    from_creation: true
    timeline:
      - {code: "9200", message: x, times: 2, for: 3s, probability: 0.5, delay: 1ms, http_status: 500}
      - {status: TRADE_REFUND, mutations: [total-text], amount: 1, refund_amount: 0, pay_time: 2026-06-01T12:00:00+08:00}
      - {raw: "{}"}
`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, chinaums.China())
	want := Scenario{
		Options: Options{
			Credentials: []chinaums.Credentials{{AppID: "a", AppKey: "k"}, {AppID: "b", AppKey: "l"}},
			Profile:     ProfileDocument, Seed: 7, Paths: []string{"/v1/netpay/query"}, Keep: 5,
			ClockWindow: time.Minute, AuthWindow: 2 * time.Minute, NonceReplay: true, TokenLife: 3 * time.Minute, StrictHeader: true,
			LenientTimestamp: true, BadRequestAsBusiness: true, Unscripted: []Step{{Status: "UNKNOWN"}},
		},
		NotEntitled: []string{"b"},
		Merchants:   []Merchant{{MID: "12345678", State: MerchantInactive, Prefix: "3194"}},
		Outage:      []Step{{Fault: FaultHTML502, For: time.Second}},
		Orders: []Order{{
			MID: "12345678", TID: "t1", InstMID: "APPDEFAULT", MerOrderID: "3194000001", TargetOrderID: "420000", TargetSys: "Alipay 2.0",
			Amount: 100, MerchantCoupon: 1, OtherCoupon: 2, AllianceCoupon: 3, BuyerID: "o", MerchantName: "店",
			CreatedAt: at, Age: time.Hour, FromCreation: true,
			Timeline: []Step{
				{Code: "9200", Message: "x", Times: 2, For: 3 * time.Second, Probability: 0.5, Delay: time.Millisecond, HTTPStatus: 500},
				{Status: "TRADE_REFUND", Mutations: []Mutation{MutationTotalText}, Amount: new(int64(1)), RefundAmount: new(int64(0)), PayTime: &at},
				{Raw: "{}"},
			},
		}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Options{}, "Now")); diff != "" {
		t.Error(diff)
	}
	s, err := got.Simulator()
	if err != nil {
		t.Fatal(err)
	}
	if !s.notEntitled["b"] || s.notEntitled["a"] || len(s.orders) != 1 || len(s.merchants) != 1 || len(s.outage.steps) != 1 {
		t.Errorf("not all of the scenario is in the simulator: %+v", s)
	}
}

func TestRefusedScenarios(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"empty", "# nothing\n", "scenario: the file is empty"},
		{"not YAML", "a: [", "scenario: yaml: line 1: did not find expected node content"},
		{"two documents", "seed: 1\n---\nseed: 2\n", "scenario: the file has more than one document"},
		{"another kind", "- a", "scenario: line 1: cannot unmarshal !!seq into simulator.scenarioFile"},
		{"unknown keys", "seeds: 1\norders:\n  - mid: mmmmmmmm\n    mer_order_id: nnnnnn\n    timelines: []\n", `scenario: line 1: field seeds not found in type simulator.scenarioFile
line 5: field timelines not found in type simulator.Order`},
		{"bad values", "seed: -1\nclock_window: 10\nkeep: much\n", "scenario: line 1: cannot unmarshal !!int `-1` into uint64\n" +
			"line 2: cannot unmarshal !!int `10` into time.Duration\nline 3: cannot unmarshal !!str `much` into int"},
		{"everything at once", `apps: [{id: a}]
profile: other
clock_window: 9h
speed: 1
token_life: 1500ms
outage:
  - {status: UNKNOWN}
unscripted:
  - {code: NO_ORDER}
  - {times: -1}
merchants:
  - {mid: mmmmmmmm, prefix: "3194", state: shut}
orders:
  - mid: mmmmmmmm
    mer_order_id: "1017000001"
    age: -1s
    timeline: &life
      - {status: UNKNOWN}
      - fault: none
        mutations: [none, total-text]
  - mid: mmmmmmmm
    mer_order_id: "1017000001"
    timeline: *life
`, `scenario: line 4: field speed not found in type simulator.scenarioFile
unknown profile "other"
clock window 9h0m0s is not between 0 and 8h0m0s
token life 1.5s is not whole seconds, at least one
app 1: id or key is missing
line 10: unscripted, step 2: times -1 is negative
line 7: outage, step 1: an outage has no trade status
line 12: merchant "mmmmmmmm": unknown state "shut"
line 14: order "1017000001": 无效订单号，订单号必须以3194开头
line 14: order "1017000001": age -1s is negative
line 19: order "1017000001": timeline, step 2: unknown fault "none"
line 19: order "1017000001": timeline, step 2: unknown mutation "none"
line 21: order "1017000001": 无效订单号，订单号必须以3194开头
line 19: order "1017000001": timeline, step 2: unknown fault "none"
line 19: order "1017000001": timeline, step 2: unknown mutation "none"
line 21: order "1017000001": the order is there twice`},
	}
	for _, test := range tests {
		_, err := LoadScenario(strings.NewReader(test.text))
		if err == nil {
			t.Errorf("%s: loaded", test.name)
		} else if diff := cmp.Diff(test.want, err.Error()); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	if _, err := LoadScenario(iotest.ErrReader(os.ErrClosed)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// TestRefusedChanges makes a loaded scenario bad by hand.
func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	if _, err := (Scenario{Options: Options{Keep: -1}}).Simulator(); err == nil {
		t.Error("bad options are taken")
	}
	if s, err := (Scenario{Orders: []Order{{}}}).Simulator(); err == nil || s != nil {
		t.Error("a bad order is taken")
	}
}

// TestExample keeps the documented example working, and complete in what it documents.
func TestExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../examples/scenario.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := LoadScenario(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if len(sc.Orders) < 12 || sc.Options.Credentials[0] != (chinaums.Credentials{AppID: "reconciler-demo-app", AppKey: "reconciler-demo-key"}) {
		t.Errorf("%d orders, apps %v", len(sc.Orders), sc.Options.Credentials)
	}
	s, err := sc.Simulator()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, fault := range Faults() {
		if !strings.Contains(string(text), string(fault)) {
			t.Errorf("the example does not name the fault %s", fault)
		}
	}
}
