package chinaums

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// endpoint gives tokens of an hour, each fetch taking a while. The clock is the bubble's.
type endpoint struct {
	*tokenCache
	takes   time.Duration
	fails   error
	began   time.Time
	fetches []string // when, since the start
}

func newEndpoint(takes time.Duration) *endpoint {
	e := &endpoint{takes: takes, began: time.Now()}
	e.tokenCache = newTokenCache(time.Now, e.fetch)
	return e
}

func (e *endpoint) fetch(ctx context.Context) (accessToken, error) {
	asked := time.Now()
	e.fetches = append(e.fetches, asked.Sub(e.began).String())
	value := fmt.Sprint("token-", len(e.fetches))
	select {
	case <-time.After(e.takes):
	case <-ctx.Done():
		return accessToken{}, reply{}.newError(ClassTransient, ctx.Err())
	}
	if e.fails != nil {
		return accessToken{}, e.fails
	}
	return accessToken{secret: &value, renewAt: asked.Add(48 * time.Minute), endsAt: asked.Add(time.Hour)}, nil
}

// taken is what a question got, and when since the start.
func (e *endpoint) taken(ctx context.Context) string {
	token, err := e.get(ctx)
	at := time.Since(e.began)
	if err != nil {
		return fmt.Sprintf("%v: %v", at, err)
	}
	return fmt.Sprintf("%v: %s", at, *token.secret)
}

func wantAll(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConcurrentQuestionsWaitForOneRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(3 * time.Second)
		got := make(chan string, 32)
		for range cap(got) {
			go func() { got <- e.taken(t.Context()) }()
		}
		for range cap(got) {
			if s := <-got; s != "3s: token-1" {
				t.Error(s)
			}
		}
		wantAll(t, []string{"0s"}, e.fetches)
	})
}

func TestWaitingQuestionObeysItsOwnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(time.Minute)
		first := make(chan string)
		go func() { first <- e.taken(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("its time is over"))
		defer cancel()
		_, err := e.get(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(e.began) != time.Second {
			t.Errorf("after %v: %v", time.Since(e.began), err)
		}
		want := "chinaums: transient: no answer: no access token: context deadline exceeded: its time is over"
		if err.Error() != want {
			t.Errorf("got %v", err)
		}
		wantAll(t, []string{"1m0s: token-1"}, []string{<-first})
	})
}

// A failed renewal fails one question only: the next one that waits tries again.
func TestFailedRenewalIsNotCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first, second := make(chan string), make(chan string)
		go func() { first <- e.taken(ctx) }()
		synctest.Wait()
		go func() { second <- e.taken(t.Context()) }()
		wantAll(t, []string{"1s: chinaums: transient: no answer: context deadline exceeded", "3s: token-2"}, []string{<-first, <-second})
		wantAll(t, []string{"0s", "1s"}, e.fetches)
	})
}

func TestOldTokenServesWhileOneQuestionRenewsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(10 * time.Second)
		got := []string{e.taken(t.Context())}
		time.Sleep(48*time.Minute - 10*time.Second)
		renewing := make(chan string)
		go func() { renewing <- e.taken(t.Context()) }()
		synctest.Wait()
		got = append(got, e.taken(t.Context()), <-renewing, e.taken(t.Context()))
		wantAll(t, []string{"10s: token-1", "48m0s: token-1", "48m10s: token-2", "48m10s: token-2"}, got)
		wantAll(t, []string{"0s", "48m0s"}, e.fetches)
	})
}

// The tries come ever closer to the end, where the failure can no longer be passed over.
func TestFailedRenewalIsPutOffWhileTheTokenLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(0)
		got := []string{e.taken(t.Context())}
		e.fails = reply{answer: Answer{HTTPStatus: 502}}.newError(ClassTransient, nil)
		time.Sleep(47 * time.Minute)
		for range 13 {
			time.Sleep(time.Minute)
			got = append(got, e.taken(t.Context()))
		}
		wantAll(t, []string{"0s", "48m0s", "54m0s", "57m0s", "59m0s", "1h0m0s"}, e.fetches)
		wantAll(t, []string{
			"0s: token-1", "48m0s: token-1", "59m0s: token-1", "1h0m0s: chinaums: transient: HTTP 502 without a readable code",
		}, []string{got[0], got[1], got[12], got[13]})
		e.fails = nil
		wantAll(t, []string{"1h0m0s: token-7"}, []string{e.taken(t.Context())})
	})
}

func TestRefusedCredentialsAreNotPutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(0)
		e.taken(t.Context())
		time.Sleep(48 * time.Minute)
		e.fails = reply{answer: Answer{HTTPStatus: 412, Code: "1000"}}.newError(ClassCredentials, nil)
		wantAll(t, []string{`48m0s: chinaums: credentials: HTTP 412, code "1000"`}, []string{e.taken(t.Context())})
	})
}

// A token that is refused while its renewal fails must not come back.
func TestRefusedTokenIsNotPutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(10 * time.Second)
		old, err := e.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		e.fails = reply{}.newError(ClassTransient, nil)
		renewing := make(chan string)
		go func() { renewing <- e.taken(t.Context()) }()
		synctest.Wait()
		if e.dropToken(old) {
			t.Error("the first refusal counts as the second")
		}
		wantAll(t, []string{"50m20s: chinaums: transient: no answer"}, []string{<-renewing})
	})
}

// Many questions with the same token are refused together: it is one refusal, and none of the new
// token's.
func TestLateNewsOfAnOldTokenChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(0)
		refused := Answer{HTTPStatus: 412, Code: "1000"}
		class := func(used accessToken) Class {
			err := e.onAnswer(used, refused, reply{answer: refused}.newError(ClassCredentials, nil))
			trouble, _ := errors.AsType[*Error](err)
			return trouble.Class
		}
		old, _ := e.get(t.Context())
		for range 3 {
			if got := class(old); got != ClassTransient {
				t.Errorf("old token: %s", got)
			}
		}
		renewed, _ := e.get(t.Context())
		if got := class(old); got != ClassTransient || e.currentToken() != renewed {
			t.Errorf("late: %s, holding %s", got, *e.currentToken().secret)
		}
		_ = e.onAnswer(old, Answer{HTTPStatus: 200, Code: codeSuccess}, nil) // sent before the old one was refused
		if got := class(renewed); got != ClassCredentials {
			t.Errorf("new token: %s", got)
		}
	})
}

func TestNoWayOfPrintingAClientShowsItsToken(t *testing.T) {
	t.Parallel()
	client, err := New(Options{
		BaseURL: "https://gateway.example", Path: "/", Credentials: Credentials{AppID: "app", AppKey: "the-key"}, Auth: AuthAccessToken,
		Timeout: time.Second, Concurrency: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := "the-token"
	token := accessToken{appID: "app", secret: &secret, endsAt: time.Now()}
	client.tokens.storeToken(token)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown := fmt.Sprintf(verb+verb+verb+verb, client, *client, client.tokens, token)
		for _, never := range []string{"the-key", "the-token", "7468652d6b6579", "7468652d746f6b656e"} {
			if strings.Contains(shown, never) {
				t.Errorf("%s shows %s: %s", verb, never, shown)
			}
		}
	}
}

func FuzzNewToken(f *testing.F) {
	f.Add([]byte(`{"errCode":"0000","accessToken":"0123456789abcdef","expiresIn":3600}`))
	f.Add([]byte(`{"accessToken":"a\r\nX: y","expiresIn":"1e400"}`))
	f.Add([]byte(`{"accessToken":12,"expiresIn":-1,"expiresIn":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, _, _ := readBody(body, newSecretScan())
		asked := time.Unix(1, 0)
		got, ok := newToken(o, "app", asked)
		if !ok {
			return
		}
		life := got.endsAt.Sub(asked)
		if life < time.Second || life > longestLife || !got.renewAt.After(asked) || !got.renewAt.Before(got.endsAt) {
			t.Errorf("renewed at %v, ends at %v", got.renewAt, got.endsAt)
		}
		header := got.authorizeRequest("", "", nil)
		if strings.ContainsFunc(header, unicode.IsControl) || strings.Count(header, `"`) != 4 || len(header) > 2*maxToken {
			t.Errorf("header %q", header)
		}
	})
}
