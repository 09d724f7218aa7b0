package simulator

import (
	"crypto/sha1" // what the endpoint expects of a request without signMethod
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/chinaums"
)

// signToken is written out here, as sign is.
func signToken(appID, stamp, nonce, key string) string {
	hash := sha256.Sum256([]byte(appID + stamp + nonce + key))
	return hex.EncodeToString(hash[:])
}

// tokenBody is a good request for a token with some of its members changed; nil removes one.
func (g *gateway) tokenBody(changes map[string]any) string {
	stamp := g.clock.Now().Format(chinaums.TimestampLayout)
	all := map[string]any{
		"appId": testApp, "timestamp": stamp, "nonce": "n", "signMethod": "SHA256",
		"signature": signToken(testApp, stamp, "n", testKey),
	}
	for name, value := range changes {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// token asks for a token.
func (g *gateway) token(t *testing.T) string {
	t.Helper()
	got := g.ask(question{path: chinaums.TokenPath, authorization: " ", body: g.tokenBody(nil)})
	var b struct{ AccessToken string }
	if err := json.Unmarshal(got.body, &b); err != nil || b.AccessToken == "" {
		t.Fatalf("no token: %s", got.body)
	}
	return b.AccessToken
}

// toldWith asks about the order with a token.
func (g *gateway) toldWith(token string) string {
	return g.told(question{authorization: bearer{token, testApp}.String()})
}

const (
	tokenGood   = "200 SUCCESS TRADE_SUCCESS"
	tokenFailed = "412 1000 认证失败"
)

func TestTokenVectors(t *testing.T) {
	t.Parallel()
	const id, key = "12345678901234567890123456789012", "67890123456789012345678901234567"
	s, err := New(Options{Credentials: []chinaums.Credentials{{AppID: id, AppKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	for method, signature := range map[string]string{
		`"signMethod":"SHA256",`: "d373659c51c1767d0ce2674ee6367823f6cc7339c0411f7772d30765ed70a942",
		`"signMethod":"SHA1",`:   "3657048573452d73ed938d65dae37825fe788d12",
		``:                       "3657048573452d73ed938d65dae37825fe788d12",
	} {
		body := fmt.Sprintf(`{"appId":%q,"timestamp":"20170101120000","nonce":"09876543210987654321098765432109",%s"signature":%q}`,
			id, method, signature)
		if got := s.giveToken(&incoming{body: []byte(body), now: s.currentTime()}); got.Code != codeToken || got.token == "" {
			t.Errorf("%s: got %s %s", body, got.Code, got.Message)
		}
		body = strings.Replace(body, "2017", "2018", 1)
		if got := s.giveToken(&incoming{body: []byte(body), now: s.currentTime()}); got.Code != codeAuth || got.token != "" {
			t.Errorf("%s: got %s %s", body, got.Code, got.Message)
		}
	}
}

func TestTokenAnswer(t *testing.T) {
	t.Parallel()
	for life, want := range map[time.Duration]string{0: "3600", 90 * time.Second: "90"} {
		g := serve(t, Options{TokenLife: life})
		for _, path := range []string{"/v1/token/access", "/v2/token/access"} {
			got := g.ask(question{path: path, authorization: " ", body: g.tokenBody(nil)})
			members := got.members(t)
			if got.status != http.StatusOK || value(members, "expiresIn") != want || len(value(members, "accessToken")) != 34 {
				t.Errorf("%s: HTTP %d, %q", path, got.status, members)
			}
			if diff := cmp.Diff([]string{"errCode", "errInfo", "accessToken", "expiresIn"}, names(members)); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	const parameters = "412 9001 参数校验失败"
	stamped := func(stamp string) map[string]any {
		return map[string]any{"timestamp": stamp, "signature": signToken(testApp, stamp, "n", testKey)}
	}
	sha1Of := func(text string) string {
		hash := sha1.Sum([]byte(text))
		return hex.EncodeToString(hash[:])
	}
	const stamp = "20260601120000"
	long := strings.Repeat("n", 129)
	tests := map[string]struct {
		opts    Options
		changes map[string]any
		want    string
	}{
		"good":             {Options{}, nil, "200 0000 成功"},
		"old stamp":        {Options{}, stamped("20200101000000"), "200 0000 成功"},
		"old, with window": {Options{AuthWindow: time.Hour}, stamped("20200101000000"), tokenFailed},
		"dashes":           {Options{}, stamped("2026-06-01 12:00:00"), "412 1000 Timestamp解析失败"},
		"unknown app":      {Options{}, map[string]any{"appId": "x", "signature": signToken("x", stamp, "n", testKey)}, tokenFailed},
		"wrong key":        {Options{}, map[string]any{"signature": signToken(testApp, stamp, "n", "x")}, tokenFailed},
		"upper case":       {Options{}, map[string]any{"signature": strings.ToUpper(signToken(testApp, stamp, "n", testKey))}, tokenFailed},
		"long nonce":       {Options{}, map[string]any{"nonce": long, "signature": signToken(testApp, stamp, long, testKey)}, tokenFailed},
		"SHA-256 unsaid":   {Options{}, map[string]any{"signMethod": nil}, tokenFailed},
		"SHA-1 as SHA-256": {Options{}, map[string]any{"signature": sha1Of(testApp + stamp + "n" + testKey)}, tokenFailed},
		"MD5":              {Options{}, map[string]any{"signMethod": "MD5"}, parameters},
		"no app":           {Options{}, map[string]any{"appId": nil}, parameters},
		"no stamp":         {Options{}, map[string]any{"timestamp": ""}, parameters},
		"no nonce":         {Options{}, map[string]any{"nonce": nil}, parameters},
		"no signature":     {Options{}, map[string]any{"signature": nil}, parameters},
		"number":           {Options{}, map[string]any{"nonce": 1}, parameters},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, tt.opts)
			if got := g.told(question{path: chinaums.TokenPath, authorization: " ", body: g.tokenBody(tt.changes)}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	g := serve(t, Options{NonceReplay: true})
	g.token(t)
	for body, want := range map[string]string{g.tokenBody(nil): tokenFailed, "{": parameters, "[]": parameters, "null": parameters} {
		if got := g.told(question{path: chinaums.TokenPath, authorization: " ", body: body}); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	if got := g.ask(question{method: http.MethodGet, path: chinaums.TokenPath}); got.status != http.StatusNotFound {
		t.Errorf("GET: HTTP %d", got.status)
	}
}

func TestTokenHeaders(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ lenient, strict string }{
		`OPEN-ACCESS-TOKEN AccessToken="%s", AppId="test-app"`:                {tokenGood, tokenGood},
		`OPEN-ACCESS-TOKEN AccessToken="%s",AppId="test-app"`:                 {tokenGood, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken="%s", AppId ="test-app"`:               {tokenGood, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken=%s`:                                    {tokenGood, tokenFailed},
		`OPEN-ACCESS-TOKEN  appid=test-app , ACCESSTOKEN = "%s" `:             {tokenGood, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken="%s", AppId="other-app"`:               {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken="%s1", AppId="test-app"`:               {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken="%s", AppId="test-app", Other="x"`:     {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken="%s", AppId="test-app", AccessToken=x`: {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken="%s, AppId="test-app"`:                 {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken=%s"`:                                   {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN AccessToken="%s"x"`:                                {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN AppId="test-app"%.0s`:                              {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKEN %s`:                                                {tokenFailed, tokenFailed},
		`OPEN-ACCESS-TOKENAccessToken=%s`:                                     {tokenFailed, tokenFailed},
		`Bearer %s`:                                                           {tokenFailed, tokenFailed},
	}
	for _, strict := range []bool{false, true} {
		g := serve(t, Options{StrictHeader: strict}, order(Step{Status: "TRADE_SUCCESS"}))
		token := g.token(t)
		for form, tt := range tests {
			want := map[bool]string{false: tt.lenient, true: tt.strict}[strict]
			if got := g.told(question{authorization: fmt.Sprintf(form, token)}); got != want {
				t.Errorf("strict %t, %s: got %q, want %q", strict, form, got, want)
			}
		}
	}
}

func TestTenTokensLive(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	g.apps["other"] = chinaums.Credentials{AppID: "other", AppKey: "key"}
	stamp := g.clock.Now().Format(chinaums.TimestampLayout)
	var all []string
	for range 12 {
		all = append(all, g.token(t))
		g.told(question{path: chinaums.TokenPath, body: g.tokenBody(map[string]any{ // another app's do not count
			"appId": "other", "signature": signToken("other", stamp, "n", "key"),
		})})
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(all)))); n != len(all) {
		t.Errorf("%d different tokens of %d", n, len(all))
	}
	for i, token := range all {
		want := tokenGood
		if i < 2 {
			want = tokenFailed
		}
		if got := g.toldWith(token); got != want {
			t.Errorf("token %d: got %q, want %q", i+1, got, want)
		}
	}
}

func TestTokensEnd(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{TokenLife: time.Minute}, order(Step{Status: "TRADE_SUCCESS"}))
	first := g.token(t)
	g.clock.advance(time.Minute - time.Nanosecond)
	second := g.token(t)
	got := []string{g.toldWith(first)}
	g.clock.advance(time.Nanosecond)
	got = append(got, g.toldWith(first), g.toldWith(second))
	g.ExpireTokens()
	got = append(got, g.toldWith(second), g.toldWith(g.token(t)))
	if diff := cmp.Diff([]string{tokenGood, tokenFailed, tokenGood, tokenFailed, tokenGood}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTokenIsEntitledAsItsOwner(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	g.SetEntitled(testApp, false)
	token := g.token(t) // given all the same: the right is one to a path
	if got := g.told(question{authorization: "OPEN-ACCESS-TOKEN AccessToken=" + token}); got != "412 1001 应用未授权访问该接口" {
		t.Errorf("got %q", got)
	}
}

func TestOutageAtTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{})
	if err := g.SetOutage(Step{Code: "9200", Times: 1}, Step{Fault: FaultTruncated, Times: 1}); err != nil {
		t.Fatal(err)
	}
	q := question{path: chinaums.TokenPath, authorization: " ", body: g.tokenBody(nil)}
	if got := g.told(q); got != "412 9200 系统繁忙" {
		t.Errorf("got %q", got)
	}
	if got := g.ask(q); got.err == nil {
		t.Errorf("truncated: got %s", got.body)
	}
	g.token(t)
}

func TestRequestsKeepNoToken(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	body := g.tokenBody(nil)
	token := g.token(t)
	g.told(question{authorization: "OPEN-ACCESS-TOKEN AccessToken=" + token})
	g.told(question{authorization: `OPEN-ACCESS-TOKEN AccessToken="x", AppId="whoever"`})
	at := g.clock.Now()
	asked := Request{
		Time: at, Method: "POST", Path: QueryPath, Authorization: true, Scheme: SchemeAccessToken, AppID: testApp,
		RequestTimestamp: "2026-06-01 12:00:00", MID: testMID, TID: "88880001", InstMID: "MINIDEFAULT", MerOrderID: testOrder,
		RoundTrip: 1, Answer: Answer{HTTPStatus: 200, Code: "SUCCESS", Status: "TRADE_SUCCESS"},
	}
	unverified := asked
	unverified.AppID, unverified.RoundTrip, unverified.Answer = "whoever", 2, Answer{HTTPStatus: 412, Code: "1000"}
	want := []Request{{
		Time: at, Method: "POST", Path: chinaums.TokenPath, Authorization: true, AppID: testApp, Timestamp: "20260601120000", Nonce: "n",
		RoundTrip: 1, Answer: Answer{HTTPStatus: 200, Code: "0000"},
	}, asked, unverified}
	got := g.Requests()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Request{}, "Remote", "BodyHash", "Authorization")); diff != "" {
		t.Error(diff)
	}
	for _, secret := range []string{token, signToken(testApp, "20260601120000", "n", testKey), testKey} {
		if text := fmt.Sprintf("%+v", got); secret == "" || strings.Contains(text, secret) {
			t.Errorf("a secret of %s is kept in %s", body, text)
		}
	}
}

func FuzzParseBearer(f *testing.F) {
	f.Add(`OPEN-ACCESS-TOKEN AccessToken="a", AppId="b"`)
	f.Add(`OPEN-ACCESS-TOKEN accesstoken=a,AppId ="b" `)
	f.Add(`OPEN-ACCESS-TOKEN AccessToken==,,`)
	f.Fuzz(func(t *testing.T, text string) {
		b, ok := parseBearer(text)
		if !ok {
			return
		}
		if again, ok := parseBearer(b.String()); !ok || again != b {
			t.Errorf("%q: first %+v, then %+v", text, b, again)
		}
	})
}
