package chinaums_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

// Whatever the token endpoint answers, it speaks of no order and no merchant.
func TestTokenEndpointTrouble(t *testing.T) {
	t.Parallel()
	const credentials, transient = chinaums.ClassCredentials, chinaums.ClassTransient
	const token = `"accessToken":"token-secret","expiresIn":3600`
	tests := map[string]struct {
		response

		class chinaums.Class
		code  string
	}{
		"wrong key":         {response{412, `{"errCode":"1000","errInfo":"认证失败"}`}, credentials, "1000"},
		"bad stamp":         {response{412, `{"errCode":"1000","errInfo":"Timestamp解析失败"}`}, credentials, "1000"},
		"not entitled":      {response{412, `{"errCode":"1001"}`}, credentials, "1001"},
		"bad parameter":     {response{412, `{"errCode":"9001"}`}, credentials, "9001"},
		"401 as HTML":       {response{401, `<html>`}, credentials, ""},
		"failed, new code":  {response{412, `{"errCode":"3333","errInfo":"认证失败"}`}, credentials, "3333"},
		"flake":             {response{412, `{"errCode":"9200"}`}, transient, "9200"},
		"no order":          {response{200, `{"errCode":"NO_ORDER"}`}, transient, "NO_ORDER"},
		"processing":        {response{200, `{"errCode":"ORDER_PROCESSING"}`}, transient, "ORDER_PROCESSING"},
		"merchant":          {response{200, `{"errCode":"NO_MERCHANT"}`}, transient, "NO_MERCHANT"},
		"another success":   {response{200, `{"errCode":"SUCCESS","status":"TRADE_SUCCESS",` + token + `}`}, transient, "SUCCESS"},
		"unknown code":      {response{200, `{"errCode":"4444",` + token + `}`}, transient, "4444"},
		"no code":           {response{200, `{` + token + `}`}, transient, ""},
		"code twice":        {response{200, `{"errCode":"0000","errCode":"1000",` + token + `}`}, transient, ""},
		"created":           {response{201, `{"errCode":"0000",` + token + `}`}, transient, "0000"},
		"redirect":          {response{302, `{"errCode":"0000",` + token + `}`}, transient, "0000"},
		"overloaded":        {response{503, `{"errCode":"1000",` + token + `}`}, transient, "1000"},
		"not found":         {response{404, `<html>`}, transient, ""},
		"empty":             {response{200, ``}, transient, ""},
		"trailing data":     {response{200, `{"errCode":"0000",` + token + `}{}`}, transient, ""},
		"too long":          {response{200, `{"errCode":"0000",` + token + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`}, transient, ""},
		"no token":          {response{200, `{"errCode":"0000","expiresIn":3600}`}, transient, "0000"},
		"empty token":       {response{200, `{"errCode":"0000","accessToken":""}`}, transient, "0000"},
		"token is no text":  {response{200, `{"errCode":"0000","accessToken":{"token-secret":1}}`}, transient, "0000"},
		"token with quotes": {response{200, `{"errCode":"0000","accessToken":"token-secret\""}`}, transient, "0000"},
		"token with line":   {response{200, `{"errCode":"0000","accessToken":"token-secret\r\nX: y"}`}, transient, "0000"},
		"long token":        {response{200, `{"errCode":"0000","accessToken":"token-secret` + strings.Repeat("x", 4<<10) + `"}`}, transient, "0000"},
		"token twice":       {response{200, `{"errCode":"0000","accessToken":"token-secret","accessToken":"b"}`}, transient, "0000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, client := serveTokens(t)
			g.give = tt.response
			got, err := client.Query(t.Context(), validRequest())
			trouble := wantTrouble(t, err, tt.class)
			want := chinaums.Answer{HTTPStatus: tt.status, Code: tt.code, Message: trouble.Message}
			if diff := cmp.Diff(want, got); diff != "" { // no body: it may hold a token; and no trade
				t.Error(diff)
			}
			if text := err.Error(); !strings.Contains(text, "no access token") || strings.Contains(text, "token-secret") {
				t.Errorf("got %s", text)
			}
			g.wantCounts(t, 1, 0)
			g.change(func() { g.give = response{} })
			mustAsk(t, client)
			g.wantCounts(t, 2, 1)
		})
	}
}

func TestTokenWithoutNonce(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	o := testOptions(serve(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) }).URL)
	o.Auth, o.Rand = chinaums.AuthAccessToken, strings.NewReader("too short")
	_, err := newClient(t, o).Query(t.Context(), validRequest())
	wantClass(t, err, chinaums.ClassTransient)
	if requests.Load() != 0 {
		t.Errorf("%d requests sent", requests.Load())
	}
}

func TestTokenTimeoutIsNamed(t *testing.T) {
	t.Parallel()
	o := testOptions(hangingServer(t, false, make(chan struct{}, 1)).URL)
	o.Auth, o.Timeout = chinaums.AuthAccessToken, 100*time.Millisecond
	_, err := newClient(t, o).Query(t.Context(), validRequest())
	trouble := wantTrouble(t, err, chinaums.ClassTransient)
	if !errors.Is(trouble, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no access token: context deadline exceeded: the request timeout of 100ms passed") {
		t.Errorf("got %v", err)
	}
}

// An endpoint that fails does no harm while the old token lives; one that refuses the credentials
// is heard at once.
func TestTokenRenewalFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		give  response
		early chinaums.Class // while the old token lives
		late  chinaums.Class
	}{
		"failing": {response{502, "<html>"}, "", chinaums.ClassTransient},
		"refused": {response{412, `{"errCode":"1000"}`}, chinaums.ClassCredentials, chinaums.ClassCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, client := serveTokens(t)
			mustAsk(t, client)
			given := g.now()
			g.change(func() { g.give = tt.give })
			for _, minute := range []time.Duration{50, 59, 60} {
				g.change(func() { g.clock = given.Add(minute * time.Minute) })
				_, err := client.Query(t.Context(), validRequest())
				want := tt.early
				if minute == 60 {
					want = tt.late
				}
				if want == "" && err != nil {
					t.Errorf("minute %d: %v", minute, err)
				} else if want != "" {
					wantClass(t, err, want)
				}
			}
		})
	}
}

func TestRefusalsNeverRepeatTheToken(t *testing.T) {
	t.Parallel()
	g, client := serveTokens(t)
	mustAsk(t, client)
	var shown []string
	for _, body := range []string{
		`{"errCode":"1000","errInfo":"认证失败: token-1","accessToken":"token-1"}`,
		`{"errCode":"1000","errInfo":"认证失败: token-2"}`,
	} {
		g.change(func() { g.answer = func(string) response { return response{412, body} } })
		answer, err := client.Query(t.Context(), validRequest())
		shown = append(shown, fmt.Sprintf("%v %+v %#v", err, err, err), fmt.Sprintf("%+v", answer), string(answer.Redacted))
		if answer.Message != "[withheld: 21 bytes]" {
			t.Errorf("message %q", answer.Message)
		}
	}
	for _, text := range shown {
		for _, secret := range []string{"token-1", "token-2", official().AppKey, "OPEN-ACCESS-TOKEN"} {
			if strings.Contains(text, secret) {
				t.Errorf("shows %s: %s", secret, text)
			}
		}
	}
}

// An answer that was cut off may have lost a second accessToken, however whole it looks.
func TestTokenConnectionCutInsideTheBody(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"errCode":"0000","accessToken":"token-secret"}`)
	})
	o := testOptions(server.URL)
	o.Auth = chinaums.AuthAccessToken
	_, err := newClient(t, o).Query(t.Context(), validRequest())
	trouble := wantTrouble(t, err, chinaums.ClassTransient)
	if want := `chinaums: transient: HTTP 200, code "0000": no access token: unexpected EOF`; trouble.Error() != want {
		t.Errorf("got %v", err)
	}
}
