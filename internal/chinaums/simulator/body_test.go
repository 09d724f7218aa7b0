package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

// TestDocumentProfile answers the vendor's own example with the vendor's own sample, except the
// time of the answer.
func TestDocumentProfile(t *testing.T) {
	t.Parallel()
	sample := `{"errCode":"SUCCESS","errMsg":"成功","msgId":"","srcReserve":"","responseTimeStamp":"2026-06-01 12:00:00",` +
		`"mid":"898340149000005","tid":"88880001","instMid":"","seqId":"","settleRefId":"","refId":"","status":"",` +
		`"totalAmount":"1","merName":0,"merOrderId":"319420230831135026","targetOrderId":"","targetSys":"","targetStatus":"",` +
		`"buyerId":"","targetMid":"","bankCardNo":"","bankInfo":"","billFunds":"","billFundsDesc":"","buyerPayAmount":0,` +
		`"billPayment":{},"buyerUsername":"","couponAmount":0,"invoiceAmount":0,"payTime":"","receiptAmount":0,` +
		`"settleDate":"","subBuyerId":"","activityIds":"","yxlmAmount":0,"couponMerchantContribute":0,` +
		`"couponOtherContribute":0,"buyerCashPayAmt":"","cardAttr":""}`
	o := order(Step{})
	o.Amount = 1
	g := serve(t, Options{Profile: ProfileDocument}, o)
	if diff := cmp.Diff(sample, string(g.ask(question{}).body)); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentProfilePaid(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{Profile: ProfileDocument}, couponOrder())
	got := g.ask(question{}).members(t)
	for _, want := range []string{
		`status="TRADE_SUCCESS"`, `totalAmount="10000"`, `buyerPayAmount=9000`, `receiptAmount=9500`, `invoiceAmount=9000`,
		`couponAmount=800`, `yxlmAmount=200`, `couponMerchantContribute=500`, `couponOtherContribute=300`, `buyerCashPayAmt="9000"`,
		`payTime="2026-06-01 12:00:00"`, `settleDate="2026-06-01"`, `targetSys="WXPay"`, `merName=0`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

// couponOrder has every amount.
func couponOrder() Order {
	o := order(Step{Status: "TRADE_SUCCESS"})
	o.MerchantCoupon, o.OtherCoupon, o.AllianceCoupon = 500, 300, 200
	return o
}

// TestLiveProfile holds the answers that were seen in the wild against the simulator's.
func TestLiveProfile(t *testing.T) {
	t.Parallel()
	unpaid := []string{
		`payTime="2026-06-01 11:00:00"`, `connectSys="OPENCHANNEL"`, `delegatedFlag="N"`, `errMsg="交易不存在"`,
		`merName="测试商户(小程序)"`, `mid="898340149000005"`, `settleDate="2026-06-01"`, `settleRefId="80982983380N"`,
		`tid="88880001"`, `totalAmount=10000`, `chnlCost="2467481504653292"`, `targetMid="282731516"`,
		`responseTimestamp="2026-06-01 12:00:00"`, `targetStatus="SUCCESS"`, `errCode="SUCCESS"`, `seqId="80982983380N"`,
		`merOrderId="319420230831135026"`, `refundAmount=0`, `status="NEW_ORDER"`, `targetSys="WXPay"`,
	}
	replace := func(pairs ...string) []string {
		return strings.Split(strings.NewReplacer(pairs...).Replace(strings.Join(unpaid, "\n")), "\n")
	}
	closed := append(replace("NEW_ORDER", "TRADE_CLOSED", "交易不存在", "查询成功"), `closeTime="2026-06-01 11:30:00"`, `couponAmount=0`)
	paid := append(replace("NEW_ORDER", "TRADE_SUCCESS", "交易不存在", "查询成功", "11:00:00", "11:00:27"),
		`targetOrderId="4200258544071631884906143111"`, `refId="640975929208"`, `buyerId="oXG9Li8XrX7HcWxujcLOsKpv05Mm"`, `subBuyerId="oW8PLHtSmic3_HXQ2XVxZCbAybe6"`,
		`bankInfo="OTHERS"`, `cardAttr="BALANCE"`, `billFunds="WXPAY:10000"`, `billFundsDesc="微信支付10000分"`,
		`buyerPayAmount=10000`, `buyerCashPayAmt=10000`, `receiptAmount=10000`, `invoiceAmount=10000`, `couponAmount=0`)
	for status, want := range map[chinaums.Status][]string{"NEW_ORDER": unpaid, "TRADE_CLOSED": closed, "TRADE_SUCCESS": paid} {
		o := order(Step{Status: status})
		o.Age = time.Hour
		g := serve(t, Options{}, o)
		if diff := cmp.Diff(want, g.ask(question{}).members(t)); diff != "" {
			t.Errorf("%s: %s", status, diff)
		}
	}
}

func TestLiveCoupons(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, couponOrder())
	got := g.ask(question{}).members(t)
	for _, want := range []string{
		`totalAmount=10000`, `buyerPayAmount=9000`, `buyerCashPayAmt=9000`, `receiptAmount=9500`, `invoiceAmount=9000`,
		`couponAmount=800`, `couponMerchantContribute=500`, `couponOtherContribute=300`, `yxlmAmount=200`,
		`billFunds="WXPAY:9000|COUPON:1000"`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
	if value(got, "activityIds") == "" {
		t.Errorf("no activityIds in %s", got)
	}
}

func TestAlipay(t *testing.T) {
	t.Parallel()
	o := order(Step{Status: "NEW_ORDER", Times: 1}, Step{Status: "TRADE_SUCCESS"})
	o.TargetSys = "Alipay 2.0"
	g := serve(t, Options{}, o)
	for _, want := range []string{`"40004|ACQ.TRADE_NOT_EXIST"`, `"10000"`} {
		if got := value(g.ask(question{}).members(t), "targetStatus"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOverrides(t *testing.T) {
	t.Parallel()
	step := Step{
		Status: "TRADE_CLOSED", Amount: new(int64(7)), RefundAmount: new(int64(3)), Message: "<&>", HTTPStatus: http.StatusNotFound,
	}
	r := serve(t, Options{}, order(step)).ask(question{})
	members := r.members(t)
	got := []string{value(members, "totalAmount"), value(members, "refundAmount"), value(members, "errMsg")}
	if diff := cmp.Diff([]string{"7", "3", `"<&>"`}, got); diff != "" || r.status != http.StatusNotFound {
		t.Errorf("HTTP %d, %s", r.status, diff)
	}
	if value(members, "targetOrderId") == "" {
		t.Error("what was refunded was not paid")
	}
}

func TestRaw(t *testing.T) {
	t.Parallel()
	const raw = "\xef\xbb\xbf{\"status\" : \"TRADE_SUCCESS\"} trailing"
	g := serve(t, Options{}, order(Step{Raw: raw, HTTPStatus: http.StatusAccepted}))
	r := g.ask(question{})
	if string(r.body) != raw || r.status != http.StatusAccepted {
		t.Errorf("HTTP %d, %q", r.status, r.body)
	}
	if got := g.Requests()[0].Answer; got != (Answer{HTTPStatus: http.StatusAccepted}) {
		t.Errorf("recorded %+v", got)
	}
}

// TestLayers asks for the shape of an error of each layer: never both messages, and sparse.
func TestLayers(t *testing.T) {
	t.Parallel()
	business := []string{"errMsg", "errCode", "responseTimestamp", "mid", "tid", "merOrderId", "seqId"}
	tests := []struct {
		step   Step
		opts   Options
		status int
		names  []string
	}{
		{Step{Code: "9200"}, Options{}, 412, []string{"errCode", "errInfo"}},
		{Step{Code: "9999"}, Options{Profile: ProfileDocument}, 412, []string{"errCode", "errInfo"}},
		{Step{Code: "9200", HTTPStatus: 200}, Options{}, 200, []string{"errCode", "errInfo"}},
		{Step{Code: "NO_ORDER"}, Options{}, 200, business},
		{Step{Code: "SOME_NEW_CODE"}, Options{}, 200, business},
		{Step{Code: "920"}, Options{}, 200, business},
		{Step{Code: "TIMEOUT"}, Options{Profile: ProfileDocument}, 200, respelled(business)},
		{Step{Code: "BAD_REQUEST"}, Options{}, 200, business[:3]},
	}
	for _, test := range tests {
		r := serve(t, test.opts, order(test.step)).ask(question{})
		got := names(r.members(t))
		if diff := cmp.Diff(test.names, got); diff != "" || r.status != test.status {
			t.Errorf("%s: HTTP %d, %s", test.step.Code, r.status, diff)
		}
		if ct := r.header.Get("Content-Type"); ct != "application/json;charset=UTF-8" {
			t.Errorf("%s: content type %q", test.step.Code, ct)
		}
	}
}

// TestContradiction has a code and a trade status in one body.
func TestContradiction(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"9200":     `412 "9200" "TRADE_SUCCESS" errInfo`,
		"NO_ORDER": `200 "NO_ORDER" "TRADE_SUCCESS" errMsg`,
	}
	for code, want := range tests {
		r := serve(t, Options{}, order(Step{Code: code, Status: "TRADE_SUCCESS"})).ask(question{})
		members := r.members(t)
		got := fmt.Sprint(r.status, " ", value(members, "errCode"), " ", value(members, "status"))
		for _, name := range []string{"errMsg", "errInfo"} {
			if value(members, name) != "" {
				got += " " + name
			}
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func respelled(names []string) []string {
	return strings.Split(strings.ReplaceAll(strings.Join(names, ","), "responseTimestamp", "responseTimeStamp"), ",")
}

func TestEcho(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS", Times: 2}, Step{Code: "NO_ORDER"}))
	sent := question{fields: map[string]any{"msgId": "消息<1>", "srcReserve": ""}}
	silent := question{}
	for i, q := range []question{sent, silent, sent} {
		members := g.ask(q).members(t)
		got := []string{value(members, "msgId"), value(members, "srcReserve")}
		want := []string{`"消息<1>"`, `""`}
		if i == 1 {
			want = []string{"", ""}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("answer %d: %s", i+1, diff)
		}
	}
}

// TestDerivedForms checks the forms of what derives from the order's number, and that it is the
// order's own.
func TestDerivedForms(t *testing.T) {
	t.Parallel()
	now := newClock().Now()
	a, b := order().withDefaults(now), order().withDefaults(now)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("not repeatable: %s", diff)
	}
	b = Order{MID: testMID, MerOrderID: "3194000001"}.withDefaults(now)
	if a.TargetOrderID == b.TargetOrderID || a.BuyerID == b.BuyerID || a.seqID() == b.seqID() {
		t.Error("two orders share a number")
	}
	if len(a.TargetOrderID) != 28 || !strings.HasPrefix(a.TargetOrderID, "4200") || len(a.BuyerID) != 28 || len(a.seqID()) != 12 {
		t.Errorf("target %s, buyer %s, seqId %s", a.TargetOrderID, a.BuyerID, a.seqID())
	}
}

func TestMessagesAreValidJSON(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"SUCCESS", "NO_ORDER", "BAD_REQUEST", "1000", "1001", "9001", "9200", "9999", `odd "code"`} {
		body := serve(t, Options{}, order(Step{Code: code})).ask(question{}).body
		if !json.Valid(body) {
			t.Errorf("%s: %s", code, body)
		}
	}
}
