package simulator

import (
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
)

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	_, err := New(Options{
		Profile: "other", Keep: -1, ClockWindow: 8 * time.Hour, AuthWindow: -1, Paths: []string{"v1"},
		Credentials: []chinaums.Credentials{{AppID: "a"}}, Unscripted: []Step{{Times: -1}},
	})
	want := `unknown profile "other"
keep -1 is negative
clock window 8h0m0s is not between 0 and 8h0m0s
auth window -1ns is negative
path "v1" does not begin with a slash
app 1: id or key is missing
unscripted, step 1: times -1 is negative`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestRefusedScripts(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{})
	if err := g.SetMerchant(Merchant{MID: testMID, Prefix: "3194"}); err != nil {
		t.Fatal(err)
	}
	bad := order(
		Step{Times: -1, For: -1, Delay: -1, Probability: 2, HTTPStatus: 100, Fault: "other", Mutations: []Mutation{"other"}},
		Step{Raw: "x", Code: "NO_ORDER", Probability: 1},
	)
	bad.MerOrderID, bad.Age, bad.Amount, bad.OtherCoupon = "1017000001", -1, -1, 1
	tests := []struct {
		err  error
		want string
	}{
		{g.AddOrder(bad), `order 1017000001: 无效订单号，订单号必须以3194开头
age -1ns is negative
an amount is negative
coupons exceed the amount
timeline, step 1: times -1 is negative
timeline, step 1: for -1ns is negative
timeline, step 1: delay -1ns is negative
timeline, step 1: probability 2 is not between 0 and 1
timeline, step 1: http_status 100 is not between 200 and 599
timeline, step 1: unknown fault "other"
timeline, step 1: unknown mutation "other"
timeline, step 2: raw excludes status, code and mutations
timeline, step 2: the last step has no other to leave the rest of its chances to`},
		{g.AddOrder(Order{}), "order : mid \"\" has not 8 to 32 characters\nmer_order_id \"\" has not 6 to 64 characters"},
		{g.SetOutage(Step{Status: "NEW_ORDER"}), "outage, step 1: an outage has no trade status"},
		{g.SetMerchant(Merchant{State: "gone", Prefix: "31"}), "merchant : mid \"\" has not 8 to 32 characters\nunknown state \"gone\"\nprefix \"31\" has not 4 characters"},
	}
	for _, test := range tests {
		if test.err == nil || test.err.Error() != test.want {
			t.Errorf("got %v\nwant %s", test.err, test.want)
		}
	}
}

// An order without a script is registered, and the payer never opens it.
func TestNoTimeline(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order())
	for range 2 {
		if got := g.told(question{}); !strings.Contains(got, "NO_ORDER") {
			t.Errorf("got %s", got)
		}
	}
}
