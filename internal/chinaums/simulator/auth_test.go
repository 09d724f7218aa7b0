package simulator

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

// TestVectors holds the vendor's published example and those derived from its inputs.
func TestVectors(t *testing.T) {
	t.Parallel()
	const id, key = "12345678901234567890123456789012", "67890123456789012345678901234567"
	const stamp, nonce = "20170101120000", "09876543210987654321098765432109"
	seed := `{"msgId":"","requestTimestamp":"2023-08-31 13:53:00","srcReserve":"","mid":"898340149000005","tid":"88880001",` +
		`"instMid":"MINIDEFAULT","targetOrderId":"","merOrderId":"319420230831135026"}`
	vectors := []struct{ id, key, stamp, nonce, body, signature string }{
		{id, key, stamp, nonce, "A", "GINsCTyNKTpEI9KXO16KqZJ64fOyAytEKl8aaR/Dy08="},
		{id, key, stamp, nonce, "", "09jVthXayHXZd/9dUXA4ssmLDPM3AAv+G51W1tn2UhE="},
		{id, key, stamp, nonce, `{"merName":"测试商户"}`, "LPznU0v4OYu3LPtnbuRQIz7WDOOoY/KhL5HhPoCSZ9k="},
		{id, key, stamp, nonce, seed, "ZOO5UHjddbujbQGdjT8CEekZCmHM/4BRRzpVF4SRIw0="},
		{"app", "key", "20260101120000", "abc", `{"a":1}`, "WX2XgYbmKfSNdTDpHyMjfXgBFpvgN/fQ5sw3WIiPJ/Q="},
	}
	s, err := New(Options{Credentials: []chinaums.Credentials{{AppID: id, AppKey: key}, {AppID: "app", AppKey: "key"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		in := &incoming{header: header(v.id, v.stamp, v.nonce, v.signature), body: []byte(v.body)}
		if refusal := s.checkSignature(in); refusal != nil {
			t.Errorf("body %q: refused with %s %s", v.body, refusal.Code, refusal.Message)
		}
		in.body = append(in.body, ' ')
		if s.checkSignature(in) == nil {
			t.Errorf("body %q: still accepted with a blank more", v.body)
		}
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	const failed, unparsed = "412 1000 认证失败", "412 1000 Timestamp解析失败"
	good := "200 SUCCESS TRADE_SUCCESS"
	tests := []struct {
		name string
		opts Options
		edit func(g *gateway, q *question)
		want string
	}{
		{"good", Options{}, func(*gateway, *question) {}, good},
		{"no header", Options{}, func(_ *gateway, q *question) { q.authorization = " " }, failed},
		{"token", Options{}, func(_ *gateway, q *question) { q.authorization = `OPEN-ACCESS-TOKEN AccessToken="x"` }, failed},
		{"stamp with dashes", Options{}, func(_ *gateway, q *question) { q.stamp = "2026-06-01 12:00:00" }, unparsed},
		{"stamp with fraction", Options{}, func(_ *gateway, q *question) { q.stamp = "20260601120000.5" }, unparsed},
		{"no such day", Options{}, func(_ *gateway, q *question) { q.stamp = "20260631120000" }, unparsed},
		{"long nonce", Options{}, func(_ *gateway, q *question) { q.nonce = strings.Repeat("n", 129) }, failed},
		{"longest nonce", Options{}, func(_ *gateway, q *question) { q.nonce = strings.Repeat("n", 128) }, good},
		{"unknown app", Options{}, func(g *gateway, q *question) {
			q.stamp, q.body = "20260601120000", g.body(nil)
			q.authorization = header("x", q.stamp, "n", sign("x", testKey, q.stamp, "n", q.body))
		}, failed},
		{"wrong key", Options{}, func(g *gateway, q *question) {
			q.stamp, q.body = "20260601120000", g.body(nil)
			q.authorization = header(testApp, q.stamp, "n", sign(testApp, "x", q.stamp, "n", q.body))
		}, failed},
		{"signature goes before parameters", Options{}, func(_ *gateway, q *question) {
			q.body, q.authorization = "{", header(testApp, "20260601120000", "n", "x")
		}, failed},
		{"old stamp", Options{}, func(_ *gateway, q *question) { q.stamp = "20200101000000" }, good},
		{"old stamp, window", Options{AuthWindow: time.Hour}, func(_ *gateway, q *question) { q.stamp = "20260601105959" }, failed},
		{"fair stamp, window", Options{AuthWindow: time.Hour}, func(_ *gateway, q *question) { q.stamp = "20260601110000" }, good},
		{"loose header, strict", Options{StrictHeader: true}, func(g *gateway, q *question) {
			q.authorization = strings.ReplaceAll(g.request(*q).Header.Get("Authorization"), ",", ", ")
		}, failed},
		{"loose header", Options{}, func(g *gateway, q *question) {
			q.authorization = strings.ReplaceAll(g.request(*q).Header.Get("Authorization"), ",", ", ")
		}, good},
		{"strict", Options{StrictHeader: true}, func(*gateway, *question) {}, good},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, test.opts, order(Step{Status: "TRADE_SUCCESS"}))
			var q question
			test.edit(g, &q)
			if got := g.told(q); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{})
	r := g.request(question{})
	r.Header.Add("Authorization", r.Header.Get("Authorization"))
	response, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("got HTTP %d", response.StatusCode)
	}
}

func TestNonceReplay(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{NonceReplay: true, Keep: 2}, order(Step{Status: "TRADE_SUCCESS"}))
	var got []string
	for _, nonce := range []string{"a", "b", "a", "c", "a"} {
		got = append(got, g.told(question{nonce: nonce})[:8])
	}
	want := []string{"200 SUCC", "200 SUCC", "412 1000", "200 SUCC", "200 SUCC"} // c pushed a out of the two that are kept
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEntitlement(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	g.SetEntitled(testApp, false)
	if got, want := g.told(question{}), "412 1001 应用未授权访问该接口"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	g.SetEntitled(testApp, true)
	if got, want := g.told(question{}), "200 SUCCESS TRADE_SUCCESS"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseAuthorization(t *testing.T) {
	t.Parallel()
	want := authorization{AppID: "a", Timestamp: "t", Nonce: "n", Signature: "s="}
	good := []string{
		`OPEN-BODY-SIG AppId="a",Timestamp="t",Nonce="n",Signature="s="`,
		`OPEN-BODY-SIG AppId="a", Timestamp="t", Nonce="n", Signature="s="`,
		`OPEN-BODY-SIG  AppId="a",Timestamp="t",Nonce="n",Signature="s=" `,
		`OPEN-BODY-SIG appid="a" , nonce="n",timestamp="t",SIGNATURE="s="`,
	}
	for _, text := range good {
		if got, err := parseAuthorization(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	bad := []string{
		``, `OPEN-BODY-SIG`, `OPEN-BODY-SIG `, `Basic AppId="a",Timestamp="t",Nonce="n",Signature="s="`,
		`OPEN-BODY-SIGAppId="a",Timestamp="t",Nonce="n",Signature="s="`,
		`OPEN-BODY-SIG AppId="a",Timestamp="t",Nonce="n"`,
		`OPEN-BODY-SIG AppId="a",Timestamp="t",Nonce="n",Signature="s=",`,
		`OPEN-BODY-SIG AppId="a",Timestamp="t",Nonce="n",Signature="s="x`,
		`OPEN-BODY-SIG AppId="a",AppID="a",Timestamp="t",Nonce="n",Signature="s="`,
		`OPEN-BODY-SIG AppId="a",Timestamp="t",Nonce="n",Signature="s=",Other="o"`,
		`OPEN-BODY-SIG AppId="a" Timestamp="t",Nonce="n",Signature="s="`,
		`OPEN-BODY-SIG AppId=a,Timestamp="t",Nonce="n",Signature="s="`,
		`OPEN-BODY-SIG AppId="a",Timestamp="t",Nonce="n",Signature="s=`,
	}
	for _, text := range bad {
		if got, err := parseAuthorization(text); err == nil || got != (authorization{}) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add(`OPEN-BODY-SIG AppId="a",Timestamp="20260601120000",Nonce="n",Signature="s="`)
	f.Add(`OPEN-BODY-SIG  signature="s=" , nonce="", TimeStamp="t",APPID="a,b= "`)
	f.Add(`OPEN-BODY-SIG AppId="a",,`)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAuthorization(text)
		if err != nil {
			return
		}
		again, err := parseAuthorization(a.String())
		if err != nil || again != a {
			t.Errorf("%q: first %+v, then %+v, %v", text, a, again, err)
		}
	})
}
