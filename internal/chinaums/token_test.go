package chinaums_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

const (
	givenToken = `{"errCode":"0000","errInfo":"ok","accessToken":"token-%d","expiresIn":3600}`
	goodAnswer = `{"errCode":"SUCCESS","status":"NEW_ORDER"}`
)

// response is what a tokenGateway answers; an empty one is the usual.
type response struct {
	status int
	body   string // %d, if there is one, is the number of the request
}

func (r response) write(w http.ResponseWriter, usual string, n int) {
	if r.status == 0 {
		r = response{http.StatusOK, usual}
	}
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, strings.ReplaceAll(r.body, "%d", fmt.Sprint(n)))
}

// tokenGateway gives token-1, token-2 and so on. It answers as the test says; where that says
// nothing, well.
type tokenGateway struct {
	mu        sync.Mutex
	clock     time.Time
	tokens    []string // bodies of the requests for one
	questions []string // Authorization headers
	give      response
	onToken   func() response // if any, in place of give
	answer    func(header string) response
}

func (g *tokenGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	header := r.Header.Get("Authorization")
	switch {
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json; charset=utf-8":
		w.WriteHeader(http.StatusTeapot)
	case r.URL.Path == "/prefix"+chinaums.TokenPath && header == "":
		g.tokens = append(g.tokens, string(body))
		if g.onToken != nil {
			g.give = g.onToken()
		}
		g.give.write(w, givenToken, len(g.tokens))
	case r.URL.Path == "/prefix"+queryPath:
		g.questions = append(g.questions, header)
		g.answer(header).write(w, goodAnswer, len(g.questions))
	default:
		w.WriteHeader(http.StatusTeapot)
	}
}

func (g *tokenGateway) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clock
}

// change lets a test change what the gateway does.
func (g *tokenGateway) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
}

// wantCounts checks how many requests there were so far.
func (g *tokenGateway) wantCounts(t *testing.T, tokens, questions int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tokens) != tokens || len(g.questions) != questions {
		t.Errorf("%d requests for a token and %d questions, want %d and %d", len(g.tokens), len(g.questions), tokens, questions)
	}
}

func serveTokens(t *testing.T) (*tokenGateway, *chinaums.Client) {
	t.Helper()
	g := &tokenGateway{
		clock:  time.Date(2017, 1, 1, 4, 0, 0, 0, time.UTC),
		answer: func(string) response { return response{} },
	}
	o := testOptions(serve(t, g.ServeHTTP).URL + "/prefix")
	o.Auth, o.Now = chinaums.AuthAccessToken, g.now
	return g, newClient(t, o)
}

// mustAsk asks one question that must be answered.
func mustAsk(t *testing.T, client *chinaums.Client) {
	t.Helper()
	if _, err := client.Query(t.Context(), validRequest()); err != nil {
		t.Fatal(err)
	}
}

func TestSignToken(t *testing.T) {
	t.Parallel()
	const want = "d373659c51c1767d0ce2674ee6367823f6cc7339c0411f7772d30765ed70a942"
	if got := chinaums.SignToken(official(), officialTimestamp, officialNonce); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTokenOnTheWire(t *testing.T) {
	t.Parallel()
	g := &tokenGateway{answer: func(string) response { return response{} }}
	o := testOptions(serve(t, g.ServeHTTP).URL + "/prefix/")
	o.Auth = chinaums.AuthAccessToken
	o.Now = func() time.Time { return time.Date(2017, 1, 1, 4, 0, 0, 0, time.UTC) }
	o.Rand = bytes.NewReader([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\xfe\xff" + "0123456789abcdef"))
	mustAsk(t, newClient(t, o))
	const nonce = "000102030405060708090a0b0c0dfeff"
	wantBody := `{"appId":"12345678901234567890123456789012","timestamp":"20170101120000","nonce":"` + nonce +
		`","signMethod":"SHA256","signature":"` + chinaums.SignToken(official(), "20170101120000", nonce) + `"}`
	if diff := cmp.Diff([]string{wantBody}, g.tokens); diff != "" {
		t.Error(diff)
	}
	wantHeader := `OPEN-ACCESS-TOKEN AccessToken="token-1", AppId="12345678901234567890123456789012"`
	if diff := cmp.Diff([]string{wantHeader}, g.questions); diff != "" {
		t.Error(diff)
	}
}

func TestOneTokenForAllQuestions(t *testing.T) {
	t.Parallel()
	g, client := serveTokens(t)
	const questions = 32
	errs := make(chan error, questions)
	for range questions {
		go func() {
			_, err := client.Query(t.Context(), validRequest())
			errs <- err
		}()
	}
	for range questions {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	g.wantCounts(t, 1, questions)
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		expiresIn string // the member; "" leaves it out
		life      time.Duration
	}{
		"documented":      {`"expiresIn":3600`, time.Hour},
		"digits":          {`"expiresIn":"600"`, 10 * time.Minute},
		"decimal":         {`"expiresIn":600.0`, 10 * time.Minute},
		"missing":         {`"other":1`, time.Hour},
		"null":            {`"expiresIn":null`, time.Hour},
		"zero":            {`"expiresIn":0`, time.Hour},
		"negative":        {`"expiresIn":-5`, time.Hour},
		"words":           {`"expiresIn":"soon"`, time.Hour},
		"twice":           {`"expiresIn":60,"expiresIn":70`, time.Hour},
		"one second":      {`"expiresIn":1`, time.Second},
		"milliseconds":    {`"expiresIn":3600000000`, 24 * time.Hour},
		"longest of 64":   {`"expiresIn":9223372036854775807`, 24 * time.Hour},
		"beyond 64 bits":  {`"expiresIn":9223372036854775808`, time.Hour},
		"more than a day": {`"expiresIn":86401`, 24 * time.Hour},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, client := serveTokens(t)
			g.give = response{http.StatusOK, `{"errCode":"0000","accessToken":"token-%d",` + tt.expiresIn + `}`}
			mustAsk(t, client)
			due := g.now().Add(tt.life * 8 / 10)
			g.change(func() { g.clock = due.Add(-time.Nanosecond) })
			mustAsk(t, client)
			g.wantCounts(t, 1, 2)
			g.change(func() { g.clock = due })
			mustAsk(t, client)
			g.wantCounts(t, 2, 3)
			g.change(func() {
				if !strings.Contains(g.questions[2], `"token-2"`) {
					t.Errorf("the question after the renewal has %s", g.questions[2])
				}
			})
		})
	}
}

// A token that ended early costs a round trip, and never looks like wrong credentials.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	refusals := map[string]response{
		"the usual":          {412, string(readFile(t, "gateway_1000.json"))},
		"401 as JSON":        {401, `{"errCode":"1000","errInfo":"认证失败"}`},
		"401 as HTML":        {401, "<html>"},
		"another code":       {412, `{"errCode":"2001","errInfo":"认证失败, AccessToken已过期"}`},
		"no code":            {403, `{"errInfo":"认证失败"}`},
		"code with HTTP 200": {200, `{"errCode":"1000"}`},
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, client := serveTokens(t)
			mustAsk(t, client)
			g.change(func() {
				g.answer = func(header string) response {
					if strings.Contains(header, `"token-1"`) {
						return refusal
					}
					return response{}
				}
			})
			got, err := client.Query(t.Context(), validRequest())
			trouble := wantTrouble(t, err, chinaums.ClassTransient)
			if !strings.HasSuffix(trouble.Error(), "refused the access token; the next round trip brings a new one") {
				t.Errorf("got %v", err)
			}
			if got.HTTPStatus != refusal.status || got.Redacted == nil || trouble.Code != got.Code {
				t.Errorf("the answer is not filled: %+v", got)
			}
			g.wantCounts(t, 1, 2) // one Query, one round trip
			mustAsk(t, client)
			g.wantCounts(t, 2, 3)
		})
	}
}

func TestTokenKeptByOtherTrouble(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]struct {
		response

		class chinaums.Class
	}{
		"overloaded":     {response{503, `{"errCode":"1000","errInfo":"认证失败"}`}, chinaums.ClassTransient},
		"rate limit":     {response{429, `{"errCode":"1000"}`}, chinaums.ClassTransient},
		"flake":          {response{412, `{"errCode":"9200","errInfo":"系统繁忙"}`}, chinaums.ClassTransient},
		"not entitled":   {response{412, `{"errCode":"1001","errInfo":"应用未授权"}`}, chinaums.ClassCredentials},
		"business layer": {response{200, `{"errCode":"BAD_SIGN","errMsg":"认证失败"}`}, chinaums.ClassCredentials},
		"success":        {response{200, `{"errCode":"SUCCESS","errMsg":"认证失败"}`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, client := serveTokens(t)
			g.answer = func(string) response { return other.response }
			for range 2 {
				if _, err := client.Query(t.Context(), validRequest()); other.class != "" {
					wantClass(t, err, other.class)
				} else if err != nil {
					t.Error(err)
				}
			}
			g.wantCounts(t, 1, 2)
		})
	}
}

// Where new tokens are refused too it is the credentials that are wrong, until something is
// answered.
func TestTokensRefusedInARow(t *testing.T) {
	t.Parallel()
	g, client := serveTokens(t)
	refuse := func(string) response { return response{412, `{"errCode":"1000","errInfo":"认证失败"}`} }
	answer := func(string) response { return response{200, `{"errCode":"NO_ORDER"}`} }
	flake := func(string) response { return response{412, `{"errCode":"9200"}`} }
	for i, step := range []struct {
		answer func(string) response
		want   chinaums.Class
	}{
		{refuse, chinaums.ClassTransient},
		{refuse, chinaums.ClassCredentials},
		{refuse, chinaums.ClassCredentials},
		{flake, chinaums.ClassTransient}, // proves nothing
		{refuse, chinaums.ClassCredentials},
		{answer, chinaums.ClassNoOrder},
		{refuse, chinaums.ClassTransient},
		{answer, chinaums.ClassNoOrder},
	} {
		g.change(func() { g.answer = step.answer })
		_, err := client.Query(t.Context(), validRequest())
		if trouble := wantTrouble(t, err, step.want); trouble.Class != step.want {
			t.Errorf("step %d: got %v", i, err)
		}
	}
	g.wantCounts(t, 6, 8)
}
