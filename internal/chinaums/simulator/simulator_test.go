package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{Paths: []string{"/v1/netpay/query"}}, order(Step{Status: "TRADE_SUCCESS"}))
	tests := []struct {
		q    question
		want string
	}{
		{question{path: "/v1/netpay/query"}, "200 SUCCESS TRADE_SUCCESS"},
		{question{path: QueryPath}, "404 no JSON"},
		{question{path: "/"}, "404 no JSON"},
		{question{path: "/v1/netpay/query", method: http.MethodGet}, "404 no JSON"},
		{question{path: "/nowhere", authorization: "none"}, "404 no JSON"},
	}
	for _, test := range tests {
		if got := g.told(test.q); got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.q.method, test.q.path, got, test.want)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		q    question
		want string
	}{
		{"not JSON", question{body: `{"mid":`}, "报文格式错误"},
		{"array", question{body: `[]`}, "报文格式错误"},
		{"null", question{body: `null`}, "报文格式错误"},
		{"empty", question{body: " "}, "报文格式错误"},
		{"no stamp", question{fields: map[string]any{"requestTimestamp": nil}}, "requestTimestamp 不能为null"},
		{"no mid", question{fields: map[string]any{"mid": ""}}, "mid 不能为null"},
		{"mid in another case", question{fields: map[string]any{"mid": nil, "MID": testMID}}, "mid 不能为null"},
		{"mid as number", question{fields: map[string]any{"mid": 898340149000005}}, "mid 不能为null"},
		{"no tid", question{fields: map[string]any{"tid": nil}}, "tid 不能为null"},
		{"short mid", question{fields: map[string]any{"mid": "1234567"}}, "mid 长度不合法"},
		{"long order number", question{fields: map[string]any{"merOrderId": strings.Repeat("1", 65)}}, "merOrderId 长度不合法"},
		{"short target", question{fields: map[string]any{"targetOrderId": "12345"}}, "targetOrderId 长度不合法"},
		{"long reserve", question{fields: map[string]any{"srcReserve": strings.Repeat("备", 256)}}, "srcReserve 长度不合法"},
		{"stamp of the header", question{fields: map[string]any{"requestTimestamp": "20260601120000"}}, "requestTimestamp 格式错误"},
	}
	gateway, business := serve(t, Options{}), serve(t, Options{BadRequestAsBusiness: true})
	for _, test := range tests {
		if got, want := gateway.told(test.q), "412 9001 参数不合法: "+test.want+","; got != want {
			t.Errorf("%s: got %q, want %q", test.name, got, want)
		}
		if got, want := business.told(test.q), "200 BAD_REQUEST 参数不合法: "+test.want+","; got != want {
			t.Errorf("%s: got %q, want %q", test.name, got, want)
		}
	}
}

func TestRequestTooLarge(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{})
	if got, want := g.told(question{body: `{"a":"` + strings.Repeat("x", maxRequest) + `"}`}), "412 1000 认证失败"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRequestStamp(t *testing.T) {
	t.Parallel()
	const good, refused = "200 SUCCESS TRADE_SUCCESS", "200 ABNORMAL_REQUEST_TIME 请求时间异常"
	wide := Options{ClockWindow: 8*time.Hour - 1}
	tests := []struct {
		opts  Options
		stamp string
		want  string
	}{
		{Options{}, "2026-06-01 11:50:00", good},
		{Options{}, "2026-06-01 11:49:59", refused},
		{Options{}, "2026-06-01 12:10:01", refused},
		{Options{ClockWindow: time.Minute}, "2026-06-01 12:01:01", refused},
		{wide, "2026-06-01 04:00:01", good},
		{wide, "2026-06-01 04:00:00", refused}, // the clock of UTC
		{Options{LenientTimestamp: true}, "20260601120000", good},
		{Options{LenientTimestamp: true}, "20260601040000", refused},
	}
	for _, test := range tests {
		g := serve(t, test.opts, order(Step{Status: "TRADE_SUCCESS"}))
		if got := g.told(question{fields: map[string]any{"requestTimestamp": test.stamp}}); got != test.want {
			t.Errorf("%s: got %q, want %q", test.stamp, got, test.want)
		}
	}
}

func TestMerchantStates(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	tests := map[MerchantState]string{
		MerchantInactive:  "200 INACTIVE_MERCHANT 处理失败: INACTIVE_MERCHANT",
		MerchantUnknown:   "200 NO_MERCHANT 处理失败: NO_MERCHANT",
		MerchantBadConfig: "200 INVLID_MERCHANT_CONFIG 处理失败: INVLID_MERCHANT_CONFIG",
		MerchantDeniedIP:  "200 DENIED_IP 处理失败: DENIED_IP",
		MerchantActive:    "200 SUCCESS TRADE_SUCCESS",
		"":                "200 SUCCESS TRADE_SUCCESS",
	}
	for state, want := range tests {
		if err := g.SetMerchant(Merchant{MID: testMID, State: state}); err != nil {
			t.Fatal(err)
		}
		if got := g.told(question{}); got != want {
			t.Errorf("%s: got %q, want %q", state, got, want)
		}
	}
}

func TestLookUp(t *testing.T) {
	t.Parallel()
	const found, none = "200 SUCCESS TRADE_SUCCESS", "200 NO_ORDER 无法找到指定的订单"
	o := order(Step{Status: "TRADE_SUCCESS"})
	o.TargetOrderID = "4200001234567890123456789012"
	g := serve(t, Options{}, o)
	tests := []struct {
		name   string
		fields map[string]any
		want   string
	}{
		{"by order number", nil, found},
		{"by target", map[string]any{"merOrderId": nil, "targetOrderId": o.TargetOrderID}, found},
		{"by target, other order number", map[string]any{"merOrderId": "3194000000", "targetOrderId": o.TargetOrderID}, found},
		{"order number goes before target", map[string]any{"targetOrderId": "4200000000"}, found},
		{"no number", map[string]any{"merOrderId": nil}, none},
		{"empty numbers", map[string]any{"merOrderId": "", "targetOrderId": ""}, none},
		{"other order", map[string]any{"merOrderId": "3194000000"}, none},
		{"other mid", map[string]any{"mid": "898340149000006"}, none},
		{"other instMid", map[string]any{"instMid": "QRPAYDEFAULT"}, none},
		{"no instMid", map[string]any{"instMid": nil}, found},
		{"other tid", map[string]any{"tid": "99"}, found},
	}
	for _, test := range tests {
		if got := g.told(question{fields: test.fields}); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestReplacedOrder(t *testing.T) {
	t.Parallel()
	o := order(Step{Status: "NEW_ORDER"})
	o.TargetOrderID = "4200000001"
	g := serve(t, Options{}, o)
	o.TargetOrderID, o.Timeline = "4200000002", []Step{{Status: "TRADE_CLOSED"}}
	if err := g.AddOrder(o); err != nil {
		t.Fatal(err)
	}
	if got, want := g.told(question{}), "200 SUCCESS TRADE_CLOSED"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	old := map[string]any{"merOrderId": nil, "targetOrderId": "4200000001"}
	if got, want := g.told(question{fields: old}), "200 NO_ORDER 无法找到指定的订单"; got != want {
		t.Errorf("by its old target: got %q, want %q", got, want)
	}
}

func TestUnscripted(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{Unscripted: []Step{{Status: "WAIT_BUYER_PAY", Times: 1}, {Status: "TRADE_SUCCESS"}}})
	numbers := []map[string]any{
		{"merOrderId": "3194000001"},
		{"merOrderId": "3194000001"},
		{"merOrderId": "3194000002", "targetOrderId": "4200999999"},
		{"merOrderId": nil, "targetOrderId": "4200999999"},
	}
	var got []string
	for _, fields := range numbers {
		got = append(got, g.told(question{fields: fields}))
	}
	want := []string{
		"200 SUCCESS WAIT_BUYER_PAY", "200 SUCCESS TRADE_SUCCESS", "200 SUCCESS WAIT_BUYER_PAY", "200 SUCCESS TRADE_SUCCESS",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, want := g.told(question{fields: map[string]any{"merOrderId": nil}}), "200 NO_ORDER 无法找到指定的订单"; got != want {
		t.Errorf("without a number: got %q, want %q", got, want)
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	const usual = "200 SUCCESS TRADE_SUCCESS"
	tests := []struct {
		name  string
		steps []Step
		want  []string
	}{
		{"for ever", []Step{{Fault: FaultHTML502}}, []string{"502 no JSON", "502 no JSON"}},
		{"ends by count", []Step{{Code: "1000", Times: 1}}, []string{"412 1000 认证失败", usual}},
		{"two kinds", []Step{{Code: "9200", Times: 1}, {Raw: "{}", Times: 1}}, []string{"412 9200 系统繁忙", "200  ", usual}},
		{"bends", []Step{{HTTPStatus: 503, Mutations: []Mutation{MutationStatusEmpty}, Times: 1}}, []string{"503 SUCCESS 查询成功", usual}},
		{"fault that needs a body", []Step{{Fault: FaultContentType, Times: 1}}, []string{usual, usual}},
		{"none", nil, []string{usual}},
	}
	for _, test := range tests {
		g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
		if err := g.SetOutage(test.steps...); err != nil {
			t.Fatal(err)
		}
		var got []string
		for range test.want {
			got = append(got, g.told(question{}))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// TestOutageGoesFirst also ends it by hand. What an outage answers by itself does not use up the
// orders' steps.
func TestOutageGoesFirst(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "NEW_ORDER", Times: 1}, Step{Status: "TRADE_SUCCESS"}))
	if err := g.SetOutage(Step{Fault: FaultHTML503, For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if got, want := g.told(question{path: "/nowhere", authorization: "none"}), "503 no JSON"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := g.SetOutage(); err != nil {
		t.Fatal(err)
	}
	if got, want := g.told(question{}), "200 SUCCESS NEW_ORDER"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestConcurrentUse is for the race detector; each order's own sequence holds all the same.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{Seed: 7})
	var wg sync.WaitGroup
	for i := range 8 {
		number := fmt.Sprintf("3194%06d", i)
		wg.Go(func() {
			err := g.AddOrder(Order{MID: testMID, MerOrderID: number, Amount: 1, Timeline: ordinaryLife()})
			if err != nil {
				t.Error(err)
			}
			for range 10 {
				g.told(question{fields: map[string]any{"merOrderId": number}})
			}
			if err := g.SetMerchant(Merchant{MID: testMID}); err != nil {
				t.Error(err)
			}
			if n := g.Count(number); n != 10 {
				t.Errorf("%s: %d round trips", number, n)
			}
		})
	}
	wg.Wait()
	if n := len(g.Requests()); n != 80 {
		t.Errorf("%d requests", n)
	}
}

func TestPathsAreThoseServed(t *testing.T) {
	t.Parallel()
	if got := serve(t, Options{}).Paths(); !slices.Equal(got, []string{QueryPath}) {
		t.Errorf("got %s", got)
	}
	paths := []string{"/b", "/a"}
	if got := serve(t, Options{Paths: paths}).Paths(); !slices.Equal(got, paths) {
		t.Errorf("got %s", got)
	}
}
