package simulator

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

// realClient is the project's own client of a gateway.
func realClient(t *testing.T, g *gateway, key string) *chinaums.Client {
	t.Helper()
	client, err := chinaums.New(chinaums.Options{
		BaseURL:     g.url,
		Path:        QueryPath,
		Credentials: chinaums.Credentials{AppID: testApp, AppKey: key},
		Timeout:     time.Minute,
		Concurrency: 1,
		Now:         g.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func testRequest() chinaums.Request {
	return chinaums.Request{MID: testMID, TID: "88880001", InstMID: "MINIDEFAULT", MerOrderID: testOrder}
}

// class asks once and returns the class of the trouble.
func class(t *testing.T, g *gateway, key string) (chinaums.Answer, chinaums.Class) {
	t.Helper()
	answer, err := realClient(t, g, key).Query(t.Context(), testRequest())
	if trouble, ok := errors.AsType[*chinaums.Error](err); ok {
		return answer, trouble.Class
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer, ""
}

func TestClientReadsBothProfiles(t *testing.T) {
	t.Parallel()
	for _, profile := range []Profile{ProfileLive, ProfileDocument} {
		g := serve(t, Options{Profile: profile, StrictHeader: true, AuthWindow: time.Minute}, couponOrder())
		answer, class := class(t, g, testKey)
		trade := answer.Trade
		got := []any{
			class, trade.Status.Value, trade.MID.Value, trade.MerOrderID.Value, trade.TargetOrderID.Value,
			trade.TotalAmount.Value, trade.BuyerPayAmount.Value, trade.BuyerCashPayAmt.Value, trade.ReceiptAmount.Value,
			trade.CouponAmount.Value, trade.YxlmAmount.Value, trade.PayTime.Value.Equal(g.clock.Now()),
			trade.ResponseTime.Value.Equal(g.clock.Now()), trade.SettleDate.Value.Format(chinaums.DateLayout),
		}
		want := []any{
			chinaums.Class(""), chinaums.StatusTradeSuccess, testMID, testOrder, "4200258544071631884906143111",
			int64(10000), int64(9000), int64(9000), int64(9500), int64(800), int64(200), true, true, "2026-06-01",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", profile, diff)
		}
	}
}

func TestClientAgainstCodes(t *testing.T) {
	t.Parallel()
	tests := map[string]chinaums.Class{
		"NO_ORDER": chinaums.ClassNoOrder, "ORDER_PROCESSING": chinaums.ClassProcessing, "BAD_REQUEST": chinaums.ClassBadRequest,
		"9001": chinaums.ClassBadRequest, "1000": chinaums.ClassCredentials, "DENIED_IP": chinaums.ClassCredentials,
		"INVLID_MERCHANT_CONFIG": chinaums.ClassMerchant, "9200": chinaums.ClassTransient, "TIMEOUT": chinaums.ClassTransient,
		"TARGET_FAIL": chinaums.ClassUnknownCode, "SUCCESS": "",
	}
	for code, want := range tests {
		g := serve(t, Options{}, order(Step{Code: code}))
		if _, got := class(t, g, testKey); got != want {
			t.Errorf("%s: got class %q, want %q", code, got, want)
		}
	}
	if _, got := class(t, serve(t, Options{}, order(Step{})), "wrong"); got != chinaums.ClassCredentials {
		t.Errorf("wrong key: got class %q", got)
	}
}

func TestClientAgainstFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []Fault{
		FaultReset, FaultClose, FaultTruncated, FaultEmpty, FaultHTML404, FaultHTML502, FaultHTML503, FaultHTML504,
		FaultOversize, FaultRedirect, FaultRateLimit,
	} {
		g := serve(t, Options{}, paidBy(fault))
		if _, got := class(t, g, testKey); got != chinaums.ClassTransient {
			t.Errorf("%s: got class %q", fault, got)
		}
		if n := g.Total(); n != 1 {
			t.Errorf("%s: %d round trips", fault, n)
		}
	}
}

// TestClientAgainstMutations takes whatever a body holds as long as it is one JSON object with a code.
func TestClientAgainstMutations(t *testing.T) {
	t.Parallel()
	for _, m := range Mutations() {
		o := couponOrder()
		o.Timeline[0].Mutations = []Mutation{m}
		_, got := class(t, serve(t, Options{}, o), testKey)
		if want := map[bool]chinaums.Class{true: chinaums.ClassNoCode}[m == MutationErrCodeMissing]; got != want {
			t.Errorf("%s: got class %q, want %q", m, got, want)
		}
	}
}
