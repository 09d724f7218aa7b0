package chinaums_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

const queryPath = "/v1/netpay/wx/mini-pre-query"

func testOptions(baseURL string) chinaums.Options {
	return chinaums.Options{
		BaseURL: baseURL, Path: queryPath, Credentials: official(), Timeout: 30 * time.Second, Concurrency: 4,
	}
}

func newClient(t *testing.T, o chinaums.Options) *chinaums.Client {
	t.Helper()
	client, err := chinaums.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// ask asks one question of a gateway that answers every request in the same way.
func ask(t *testing.T, status int, body string) (chinaums.Answer, error) {
	t.Helper()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	return newClient(t, testOptions(server.URL)).Query(t.Context(), validRequest())
}

// wantTrouble checks that an error is an *Error of a class, and returns it.
func wantTrouble(t *testing.T, err error, class chinaums.Class) *chinaums.Error {
	t.Helper()
	var trouble *chinaums.Error
	if !errors.As(err, &trouble) || trouble.Class != class {
		t.Fatalf("got %v, want class %s", err, class)
	}
	return trouble
}

func wantClass(t *testing.T, err error, class chinaums.Class) {
	t.Helper()
	_ = wantTrouble(t, err, class)
}

func TestQueryOnTheWire(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"errCode":"SUCCESS"}`)
	})
	readings := 0
	o := testOptions(server.URL + "/prefix/")
	o.Rand = bytes.NewReader([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\xfe\xff"))
	o.Now = func() time.Time {
		readings++
		return time.Date(2023, 8, 31, 5, 53, 0, 0, time.UTC)
	}
	if _, err := newClient(t, o).Query(t.Context(), validRequest()); err != nil {
		t.Fatal(err)
	}
	if want := string(readFile(t, "request.json")); string(body) != want {
		t.Errorf("body\ngot  %s\nwant %s", body, want)
	}
	want := map[string]string{
		"Content-Type":   "application/json; charset=utf-8",
		"Content-Length": "187",
		"Authorization": `OPEN-BODY-SIG AppId="` + official().AppID + `",Timestamp="20230831135300",Nonce="000102030405060708090a0b0c0dfeff",Signature="` +
			chinaums.Sign(official(), "20230831135300", "000102030405060708090a0b0c0dfeff", body) + `"`,
	}
	for name, value := range want {
		if got.Header.Get(name) != value {
			t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), value)
		}
	}
	if got.Method != http.MethodPost || got.URL.String() != "/prefix"+queryPath || readings != 1 {
		t.Errorf("got %s %s, %d readings of the clock", got.Method, got.URL, readings)
	}
}

func TestQueryDoesNotEscapeHTML(t *testing.T) {
	t.Parallel()
	var body []byte
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) })
	r := validRequest()
	r.TID, r.MerOrderID = `<a&b>"订单"`, `3194\/123`
	_, _ = newClient(t, testOptions(server.URL)).Query(t.Context(), r)
	for _, want := range []string{`"tid":"<a&b>\"订单\""`, `"merOrderId":"3194\\/123"`} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s does not hold %s", body, want)
		}
	}
}

func TestQuerySignsEveryRoundTripAfresh(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen[r.Header.Get("Authorization")]++
		_, _ = io.WriteString(w, `{"errCode":"SUCCESS"}`)
	})
	o := testOptions(server.URL)
	o.Now = func() time.Time { return time.Unix(0, 0) }
	client := newClient(t, o)
	for range 10 {
		if _, err := client.Query(t.Context(), validRequest()); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d different headers in 10 round trips", len(seen))
	}
}

func TestQueryAnswered(t *testing.T) {
	t.Parallel()
	body := string(readFile(t, "live_wechat_paid.json"))
	got, err := ask(t, http.StatusOK, body)
	if err != nil || got.HTTPStatus != 200 || got.Code != "SUCCESS" || got.Message != "查询成功" {
		t.Errorf("got %d %s %s, %v", got.HTTPStatus, got.Code, got.Message, err)
	}
	if got.Trade.Status.Value != chinaums.StatusTradeSuccess || got.Trade.TotalAmount.Value != 100 {
		t.Errorf("got %+v", got.Trade)
	}
}

func TestQueryTrouble(t *testing.T) {
	t.Parallel()
	const trade = `,"status":"TRADE_SUCCESS","mid":"898340149000005"`
	tests := map[string]struct {
		status int
		body   string
		class  chinaums.Class
		code   string
	}{
		"no order":                {200, string(readFile(t, "live_no_order.json")), chinaums.ClassNoOrder, "NO_ORDER"},
		"no code":                 {200, `{"errMsg":"x"}`, chinaums.ClassNoCode, ""},
		"code twice":              {200, `{"errCode":"SUCCESS","errCode":"NO_ORDER"}`, chinaums.ClassNoCode, ""},
		"unknown code":            {200, `{"errCode":"TARGET_FAIL"}`, chinaums.ClassUnknownCode, "TARGET_FAIL"},
		"platform's refusal":      {412, string(readFile(t, "gateway_1000.json")), chinaums.ClassCredentials, "1000"},
		"empty 200":               {200, "", chinaums.ClassTransient, ""},
		"truncated JSON":          {200, `{"errCode":"SUCCESS"` + trade, chinaums.ClassTransient, ""},
		"trailing data":           {200, `{"errCode":"SUCCESS"}{}`, chinaums.ClassTransient, ""},
		"array":                   {200, `[{"errCode":"SUCCESS"}]`, chinaums.ClassTransient, ""},
		"HTML 200":                {200, "<html>", chinaums.ClassTransient, ""},
		"HTML 502":                {502, "<html>", chinaums.ClassTransient, ""},
		"503 with a code":         {503, `{"errCode":"1000"}`, chinaums.ClassTransient, "1000"},
		"500 with a trade":        {500, `{"errCode":"SUCCESS"` + trade + `}`, chinaums.ClassTransient, "SUCCESS"},
		"500, trade and code":     {500, `{"errCode":"NO_ORDER"` + trade + `}`, chinaums.ClassTransient, "NO_ORDER"},
		"500, trade, refusal":     {500, `{"errCode":"NO_MERCHANT"` + trade + `}`, chinaums.ClassMerchant, "NO_MERCHANT"},
		"200, trade, new code":    {200, `{"errCode":"7777"` + trade + `}`, chinaums.ClassTransient, "7777"},
		"404 with success":        {404, `{"errCode":"SUCCESS"` + trade + `}`, chinaums.ClassTransient, "SUCCESS"},
		"412, trade, new code":    {412, `{"errCode":"7777"` + trade + `}`, chinaums.ClassTransient, "7777"},
		"201 with success":        {201, `{"errCode":"SUCCESS"` + trade + `}`, chinaums.ClassTransient, "SUCCESS"},
		"204":                     {204, "", chinaums.ClassTransient, ""},
		"redirect":                {302, "", chinaums.ClassTransient, ""},
		"permanent redirect":      {307, "<html>", chinaums.ClassTransient, ""},
		"redirect with a code":    {301, `{"errCode":"1001"}`, chinaums.ClassCredentials, "1001"},
		"redirect with a success": {308, `{"errCode":"SUCCESS"}`, chinaums.ClassTransient, "SUCCESS"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t, tt.status, tt.body)
			trouble := wantTrouble(t, err, tt.class)
			want := []any{tt.status, tt.code, got.Message}
			if diff := cmp.Diff(want, []any{trouble.HTTPStatus, trouble.Code, trouble.Message}); diff != "" {
				t.Error(diff)
			}
			if got.HTTPStatus != tt.status || got.Code != tt.code {
				t.Errorf("the answer is not filled: %+v", got)
			}
			if valid := strings.HasSuffix(tt.body, trade+"}"); got.Trade.HasStatus() != valid {
				t.Errorf("HasStatus %t", !valid)
			}
		})
	}
}
