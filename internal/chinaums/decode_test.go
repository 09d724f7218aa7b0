package chinaums

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func decoded(body string) (Answer, error) {
	var a Answer
	err := a.decodeBody([]byte(body), newSecretScan())
	return a, err
}

func text(s string) Field[string]           { return Field[string]{Value: s, Present: true} }
func fen(n int64) Field[int64]              { return Field[int64]{Value: n, Present: true} }
func status(s Status) Field[Status]         { return Field[Status]{Value: s, Present: true} }
func unreadable[T any](err error) Field[T]  { return Field[T]{Present: true, Err: err} }
func chinaTime(s string) Field[time.Time]   { return instant(DateTimeLayout, s, China()) }
func settleDate(s string) Field[time.Time]  { return instant(DateLayout, s, time.UTC) }
func diffTrade(want, got Trade) string      { return cmp.Diff(want, got, cmpopts.EquateErrors()) }
func diffField[T any](a, b Field[T]) string { return cmp.Diff(a, b, cmpopts.EquateErrors()) }

func instant(layout, s string, zone *time.Location) Field[time.Time] {
	t, err := time.ParseInLocation(layout, s, zone)
	return Field[time.Time]{Value: t, Present: true, Err: err}
}

func TestDecodeBodies(t *testing.T) {
	t.Parallel()
	closed := Trade{
		Status: status(StatusTradeClosed), MID: text("898340149000005"),
		MerOrderID: text("319420201201180000ABCDEFGHIJ"), TotalAmount: fen(1), CouponAmount: fen(0), RefundAmount: fen(0),
		PayTime:      chinaTime("2020-12-01 18:00:05"),
		ResponseTime: chinaTime("2020-12-02 11:05:00"), SettleDate: settleDate("2020-12-01"),
		SeqID: text("01234567891N"), SettleRefID: text("01234567891N"), TargetSys: text("WXPay"), TargetStatus: text("SUCCESS"),
		TargetMID: text("1900000109"),
	}
	unpaid := Trade{
		Status: status(StatusNewOrder), MID: text("898340149000005"),
		MerOrderID: text("319420220601102030ABCDEFGHIJ"), TotalAmount: fen(1), RefundAmount: fen(0),
		PayTime: chinaTime("2022-06-01 10:20:30"), ResponseTime: chinaTime("2022-06-01 10:20:31"),
		SettleDate: settleDate("2022-06-01"), SeqID: text("01234567892N"), SettleRefID: text("01234567892N"),
		TargetSys: text("Alipay 2.0"), TargetStatus: text("40004|ACQ.TRADE_NOT_EXIST"), TargetMID: text("2088000000000000"),
	}
	paid := Trade{
		Status: status(StatusTradeSuccess), MID: text("898340149000005"),
		MerOrderID: text("319420220601102000ABCDEFGHIJ"), TargetOrderID: text("4200001234202206011234567890"),
		TotalAmount: fen(100), BuyerPayAmount: fen(95), ReceiptAmount: fen(95), InvoiceAmount: fen(95), CouponAmount: fen(5),
		YxlmAmount: fen(0), CouponMerchantContribute: fen(5), CouponOtherContribute: fen(0), BuyerCashPayAmt: fen(95), RefundAmount: fen(0),
		PayTime: chinaTime("2022-06-01 10:20:30"), ResponseTime: chinaTime("2022-06-01 10:21:00"), SettleDate: settleDate("2022-06-01"),
		SeqID: text("01234567890N"), SettleRefID: text("01234567890N"), TargetSys: text("WXPay"), TargetStatus: text("SUCCESS"),
		TargetMID: text("1900000109"), BuyerID: text("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"), SubBuyerID: text("oSub8uMuAJO_M2pxb1Q9zNjWeS6o"),
		BankInfo: text("OTHERS"), CardAttr: text("BALANCE"), BillFunds: text("现金:95|优惠券:5"), BillFundsDesc: text("现金支付0.95元。"),
		ActivityIDs: text("A1"),
	}
	document := Trade{
		MID: text("898340149000005"), MerOrderID: text("319420230831135026"), TotalAmount: fen(1),
		BuyerPayAmount: fen(0), CouponAmount: fen(0), InvoiceAmount: fen(0), ReceiptAmount: fen(0), YxlmAmount: fen(0),
		CouponMerchantContribute: fen(0), CouponOtherContribute: fen(0), ResponseTime: chinaTime("2023-08-31 13:50:14"),
	}
	twice := Trade{
		Status: status(StatusTradeSuccess), MID: text("898340149000005"),
		MerOrderID: text("3194201811151200001234567890"), TotalAmount: fen(1), ResponseTime: chinaTime("2018-11-15 12:00:00"),
	}
	noOrder := Trade{
		MID: text("898340149000005"), MerOrderID: text("319420260920100000ABCDEFGHIJ"),
		ResponseTime: chinaTime("2026-09-20 10:00:00"),
	}
	tests := map[string]struct {
		code, message string
		trade         Trade
	}{
		"document.json":           {"SUCCESS", "成功", document},
		"live_wechat_paid.json":   {"SUCCESS", "查询成功", paid},
		"live_wechat_closed.json": {"SUCCESS", "查询成功", closed},
		"live_alipay_unpaid.json": {"SUCCESS", "交易不存在", unpaid},
		"pdf_amount_twice.json":   {"SUCCESS", "", twice},
		"live_no_order.json":      {"NO_ORDER", "无法找到指定的订单", noOrder},
		"live_bad_request.json":   {"BAD_REQUEST", "参数不合法: tid 不能为null, ", Trade{ResponseTime: chinaTime("2020-12-01 18:00:00")}},
		"gateway_1000.json":       {"1000", "Timestamp解析失败", Trade{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			got, err := decoded(string(body))
			if err != nil || got.Code != tt.code || got.Message != tt.message {
				t.Errorf("got %q, %q, %v", got.Code, got.Message, err)
			}
			if diff := diffTrade(tt.trade, got.Trade); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefusesAllButOneObject(t *testing.T) {
	t.Parallel()
	bodies := []string{
		"", " ", "null", "1", `"SUCCESS"`, `[{"errCode":"SUCCESS"}]`, `{"errCode":"SUCCESS"`, `{"errCode":"SUCCESS"}{}`,
		`{"errCode":"SUCCESS"} x`, `{"errCode":"SUCCESS",}`, `{errCode:"SUCCESS"}`, "<html>502</html>", "\ufeff", "\ufeff\ufeff{}",
		`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`,
	}
	for _, body := range bodies {
		got, err := decoded(body)
		if !errors.Is(err, errNotObject) || got.Code != "" || got.Trade.HasStatus() {
			t.Errorf("%.40q: got %q, %v", body, got.Code, err)
		}
	}
	if got, err := decoded("\ufeff {\"errCode\" : \"SUCCESS\"}\r\n"); err != nil || got.Code != "SUCCESS" {
		t.Errorf("space around the object: got %q, %v", got.Code, err)
	}
}

func TestDecodeCodeAndMessage(t *testing.T) {
	t.Parallel()
	tests := []struct{ body, code, message string }{
		{`{}`, "", ""},
		{`{"errCode":1000,"errInfo":"认证失败"}`, "1000", "认证失败"},
		{`{"errCode":"A","errMsg":"m","errInfo":"i"}`, "A", "m"},
		{`{"errCode":"A","errMsg":"","errInfo":"i"}`, "A", "i"},
		{`{"errCode":"A","errMsg":"a\u0000b\ud800c"}`, "A", "a\uFFFDb\uFFFDc"},
		{"{\"errCode\":\"A\",\"errInfo\":\"a\xffb\"}", "A", "a\uFFFDb"},
		{`{"errCode":"A","errCode":"A"}`, "A", ""},
		{`{"errCode":"1000","errCode":1000}`, "1000", ""},
		{`{"errCode":"A","errCode":"B"}`, "", ""},
		{`{"errCode":"SUCCESS","errCode":""}`, "", ""},
		{`{"errCode":"SUCCESS","errCode":null}`, "", ""},
		{`{"errCode":null}`, "", ""},
		{`{"errCode":true}`, "", ""},
		{`{"errCode":{"a":1}}`, "", ""},
		{`{"errcode":"A","ERRCODE":"B","ErrCode":"C"}`, "", ""}, // keys are exact
		{`{"err\u0043ode":"A"}`, "A", ""},
		{`{"data":{"errCode":"A"}}`, "", ""},
	}
	for _, tt := range tests {
		got, err := decoded(tt.body)
		if err != nil || got.Code != tt.code || got.Message != tt.message {
			t.Errorf("%s: got %q, %q, %v", tt.body, got.Code, got.Message, err)
		}
	}
}

func TestDecodeStatus(t *testing.T) {
	t.Parallel()
	conflict, notText := unreadable[Status](ErrConflict), unreadable[Status](ErrNotText)
	tests := []struct {
		body string
		want Field[Status]
		has  bool
	}{
		{`{}`, Field[Status]{}, false},
		{`{"status":""}`, Field[Status]{}, false},
		{`{"status":null}`, Field[Status]{}, false},
		{`{"status":null,"status":""}`, Field[Status]{}, false},
		{`{"Status":"TRADE_SUCCESS"}`, Field[Status]{}, false},
		{`{"status":"TRADE_SUCCESS"}`, status(StatusTradeSuccess), true},
		{`{"status":"TRADE_\u0053UCCESS"}`, status(StatusTradeSuccess), true},
		{`{"status":"TRADE_FAIL"}`, status("TRADE_FAIL"), true},
		{`{"status":"TRADE_SUCCESS","status":"TRADE_SUCCESS"}`, status(StatusTradeSuccess), true},
		{`{"status":"TRADE_SUCCESS","status":"TRADE_CLOSED"}`, conflict, true},
		{`{"status":"A","status":"B","status":"A"}`, conflict, true},
		{`{"status":"A","status":"B","status":5}`, conflict, true},
		{`{"status":"","status":"TRADE_SUCCESS"}`, conflict, true},
		{`{"status":"TRADE_SUCCESS","status":null}`, conflict, true},
		{`{"status":5,"status":"TRADE_SUCCESS"}`, conflict, true},
		{`{"status":5}`, notText, false},
		{`{"status":{}}`, notText, false},
		{`{"status":["TRADE_SUCCESS"]}`, notText, false},
		{`{"status":true}`, notText, false},
		{`{"status":5,"status":6}`, notText, false},
		{`{"status":5,"status":""}`, notText, false},
		{`{"status":null,"status":{}}`, notText, false},
	}
	for _, tt := range tests {
		got, err := decoded(tt.body)
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
		}
		if diff := diffField(tt.want, got.Trade.Status); diff != "" || got.Trade.HasStatus() != tt.has {
			t.Errorf("%s: HasStatus %t %s", tt.body, got.Trade.HasStatus(), diff)
		}
	}
}

// What jsonb cannot hold as it is costs the answer its form in the ledger, and none of its fields.
func TestDecodeBehindWhatCannotBeKept(t *testing.T) {
	t.Parallel()
	for name, member := range map[string]string{
		"nested key twice":  `"billPayment":{"a":1,"b":{"c":1,"c":2}}`,
		"key twice":         `"merName":"a","merName":"b"`,
		"too deep":          `"billPayment":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
		"much too deep":     `"billPayment":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
		"array in the text": `"a":[{"b":1,"b":1}]`,
	} {
		got, err := decoded(`{"errCode":"SUCCESS",` + member + `,"status":"TRADE_SUCCESS","totalAmount":"12"}`)
		if err != nil || got.Code != "SUCCESS" || got.Trade.Status != status(StatusTradeSuccess) || got.Trade.TotalAmount != fen(12) {
			t.Errorf("%s: %v, %q, %v, %v", name, err, got.Code, got.Trade.Status, got.Trade.TotalAmount)
		}
		var kept string
		if err := json.Unmarshal(got.Redacted, &kept); err != nil || !strings.Contains(kept, "TRADE_SUCCESS") || strings.Contains(kept, "62220212") {
			t.Errorf("%s: kept %.80s, %v", name, got.Redacted, err)
		}
	}
}
