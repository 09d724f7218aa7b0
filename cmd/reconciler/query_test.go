package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
)

// newQuery is a world without a database: its settings name none.
func newQuery(t *testing.T, life ...simulator.Step) (*world, string) {
	t.Helper()
	w := &world{gateway: newGateway(t)}
	w.env = []string{"CHINAUMS_APP_ID=" + appID, "CHINAUMS_APP_KEY=" + appKey, "CHINAUMS_BASE_URL=" + w.gateway.url}
	return w, w.register(t, mid, 1, life...)[0]
}

type found struct {
	HTTPStatus  int             `json:"http_status"`
	ErrCode     string          `json:"err_code"`
	ErrMsg      string          `json:"err_msg"`
	TradeStatus string          `json:"trade_status"`
	TotalAmount *int64          `json:"total_amount"`
	Response    json.RawMessage `json:"response"`
}

func TestQuery(t *testing.T) {
	t.Parallel()
	fen := int64(amount)
	for _, test := range []struct {
		name string
		life simulator.Step
		code int
		want found
	}{
		{"paid", paid(), 0, found{HTTPStatus: 200, ErrCode: "SUCCESS", TradeStatus: "TRADE_SUCCESS", TotalAmount: &fen}},
		{"waiting", status(chinaums.StatusWaitBuyerPay), 0, found{HTTPStatus: 200, ErrCode: "SUCCESS", TradeStatus: "WAIT_BUYER_PAY", TotalAmount: &fen}},
		{"not known", simulator.Step{Code: "NO_ORDER"}, 1, found{HTTPStatus: 200, ErrCode: "NO_ORDER"}},
		{"refused by the platform", simulator.Step{Code: "1001"}, 1, found{HTTPStatus: 412, ErrCode: "1001"}},
		{"platform fails", simulator.Step{Code: "9200"}, 1, found{HTTPStatus: 412, ErrCode: "9200"}},
		{"page of a proxy", simulator.Step{Fault: simulator.FaultHTML502}, 1, found{HTTPStatus: 502}},
		{"no answer", simulator.Step{Fault: simulator.FaultClose}, 1, found{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, number := newQuery(t, test.life)
			args := []string{"query", "--mid", mid, "--tid", tid, "--mer-order-id", number}
			text := w.invoke(t, args...)
			text.want(t, test.code, "trade_status", string(test.life.Status), test.want.ErrCode)
			if w.Total() != 1 {
				t.Errorf("%d requests, want one", w.Total())
			}
			r := w.invoke(t, append(args, "--output", "json")...)
			r.want(t, test.code)
			var got found
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
				t.Fatalf("%v: %s", err, r.stdout)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(found{}, "Response", "ErrMsg")); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if (test.code == 0) != (r.stderr == "") {
				t.Errorf("exit code %d, stderr = %q", r.code, r.stderr)
			}
		})
	}
}

func TestQueryByTheChannelsNumber(t *testing.T) {
	t.Parallel()
	w, _ := newQuery(t, paid())
	const target = "4200001234202606010000000001"
	order := simulator.Order{MID: mid, MerOrderID: "319499999999", TargetOrderID: target, Amount: amount, Timeline: []simulator.Step{paid()}}
	if err := w.AddOrder(order); err != nil {
		t.Fatal(err)
	}
	w.invoke(t, "query", "--mid="+mid, "--tid="+tid, "--target-order-id="+target).want(t, 0, "TRADE_SUCCESS", "319499999999")
}

func TestQueryMasks(t *testing.T) {
	t.Parallel()
	for _, life := range personalLives() {
		w, number := newQuery(t, life...)
		for _, form := range []string{"text", "json"} {
			r := w.invoke(t, "query", "--mid="+mid, "--tid="+tid, "--mer-order-id="+number, "--output="+form)
			r.lacks(t, cardNumber, buyerName)
			if r.stdout == "" {
				t.Error("nothing was printed")
			}
		}
	}
}

func TestQueryUsage(t *testing.T) {
	t.Parallel()
	w, number := newQuery(t, paid())
	for _, args := range []string{
		"--tid 88880001 --mer-order-id " + number,
		"--mid " + mid + " --mer-order-id " + number,
		"--mid " + mid + " --tid 88880001",
		"--mid short --tid 88880001 --mer-order-id " + number,
		"--mid " + mid + " --tid 8 --mer-order-id " + number,
		"--mid " + mid + " --tid 88880001 --mer-order-id 31",
		"--mid " + mid + " --tid 88880001 --inst-mid X --mer-order-id " + number,
		"--mid " + mid + " --tid 88880001 --output xml --mer-order-id " + number,
		"--mid " + mid + " --tid 88880001 --gateway-url http://192.0.2.1 --mer-order-id " + number,
		"--mid " + mid + " --tid 88880001 --request-timeout 0s --mer-order-id " + number,
		"--mid " + mid + " --tid 88880001 --request-timeout soon --mer-order-id " + number,
	} {
		r := w.invoke(t, append([]string{"query"}, strings.Fields(args)...)...)
		if r.code != 2 || r.stdout != "" || r.stderr == "" {
			t.Errorf("query %s = %+v, want 2 and a reason", args, r)
		}
	}
	w.unset("CHINAUMS_APP_KEY", "CHINAUMS_APP_ID")
	w.invoke(t, "query", "--mid=x", "--tid="+tid).want(t, 2, "CHINAUMS_APP_KEY", "CHINAUMS_APP_ID", "mid", "--mer-order-id or --target-order-id must be given")
	if w.Total() != 0 {
		t.Errorf("%d requests despite bad usage", w.Total())
	}
}
