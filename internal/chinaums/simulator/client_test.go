package simulator

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

// realClient is the project's own client of a gateway.
func realClient(t *testing.T, g *gateway, key string) *chinaums.Client {
	t.Helper()
	return clientBy(t, g, key, chinaums.AuthBodySig)
}

func clientBy(t *testing.T, g *gateway, key string, auth chinaums.Auth) *chinaums.Client {
	t.Helper()
	client, err := chinaums.New(chinaums.Options{
		BaseURL:     g.url,
		Path:        QueryPath,
		Credentials: chinaums.Credentials{AppID: testApp, AppKey: key},
		Auth:        auth,
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

// classOf returns the class of the trouble, "" where there is none.
func classOf(t *testing.T, err error) chinaums.Class {
	t.Helper()
	trouble, ok := errors.AsType[*chinaums.Error](err)
	switch {
	case ok:
		return trouble.Class
	case err != nil:
		t.Fatal(err)
	}
	return ""
}

// class asks once and returns the class of the trouble.
func class(t *testing.T, g *gateway, key string) (chinaums.Answer, chinaums.Class) {
	t.Helper()
	answer, err := realClient(t, g, key).Query(t.Context(), testRequest())
	return answer, classOf(t, err)
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
		FaultOversize, FaultRedirect, FaultRateLimit, FaultSwitching, FaultRawTab,
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

// TestClientAgainstMutations takes whatever a body holds as long as it is one JSON object with a
// code.
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

// TestClientWithToken asks through the life of several tokens. What ends one costs a round trip at
// most.
func TestClientWithToken(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{StrictHeader: true, AuthWindow: time.Minute, NonceReplay: true}, order(Step{Status: "TRADE_SUCCESS"}))
	client := clientBy(t, g, testKey, chinaums.AuthAccessToken)
	for _, step := range []struct {
		before func()
		want   chinaums.Class
		tokens int // asked for so far
	}{
		{func() {}, "", 1},
		{func() { g.clock.advance(48*time.Minute - time.Second) }, "", 1},
		{func() { g.clock.advance(time.Second) }, "", 2}, // before it ends
		{func() { g.clock.advance(10 * time.Hour) }, "", 3},
		{g.ExpireTokens, chinaums.ClassTransient, 3},
		{func() {}, "", 4},
		{func() { fill(t, g) }, chinaums.ClassTransient, 14}, // ten others took newer ones
		{func() {}, "", 15},
	} {
		step.before()
		_, err := client.Query(t.Context(), testRequest())
		if got, n := classOf(t, err), tokensAsked(g); got != step.want || n != step.tokens {
			t.Errorf("got class %q after %d tokens, want %q after %d", got, n, step.want, step.tokens)
		}
	}
	if n := g.Total() - tokensAsked(g); n != 8 {
		t.Errorf("%d round trips for 8 questions", n)
	}
}

// fill asks for ten tokens.
func fill(t *testing.T, g *gateway) {
	t.Helper()
	for range maxTokens {
		stamp := g.clock.Now().Format(chinaums.TimestampLayout)
		nonce := fmt.Sprint("nonce-", g.Total())
		body := g.tokenBody(map[string]any{"nonce": nonce, "signature": signToken(testApp, stamp, nonce, testKey)})
		if got := g.told(question{path: chinaums.TokenPath, authorization: " ", body: body}); got != "200 0000 成功" {
			t.Fatal(got)
		}
	}
}

func tokensAsked(g *gateway) int {
	n := 0
	for _, r := range g.Requests() {
		if r.Path == chinaums.TokenPath {
			n++
		}
	}
	return n
}

func TestClientWithTokenAndWrongKey(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	client := clientBy(t, g, "wrong", chinaums.AuthAccessToken)
	for range 2 {
		answer, err := client.Query(t.Context(), testRequest())
		if got := classOf(t, err); got != chinaums.ClassCredentials || answer.HTTPStatus != 412 || answer.Code != "1000" {
			t.Errorf("got class %q, HTTP %d, %s", got, answer.HTTPStatus, answer.Code)
		}
	}
	if g.Count(testOrder) != 0 || g.Total() != 2 {
		t.Errorf("%d questions, %d round trips", g.Count(testOrder), g.Total())
	}
}

// TestClientWithTokenInACrowd ends the token under many questions, again and again. It costs each
// of them one round trip at most, all of them one new token, and never looks like wrong
// credentials.
func TestClientWithTokenInACrowd(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	client := clientBy(t, g, testKey, chinaums.AuthAccessToken)
	const rounds = 10
	for range rounds {
		g.ExpireTokens()
		var crowd sync.WaitGroup
		for range 16 {
			crowd.Go(func() {
				_, err := client.Query(t.Context(), testRequest())
				if trouble, ok := errors.AsType[*chinaums.Error](err); ok && trouble.Class == chinaums.ClassTransient {
					_, err = client.Query(t.Context(), testRequest())
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		crowd.Wait()
	}
	if n := tokensAsked(g); n != rounds {
		t.Errorf("%d tokens for %d rounds", n, rounds)
	}
}
