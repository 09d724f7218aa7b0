package chinaums_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/chinaums"
)

func TestQueryFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, location := range []string{other.URL, "/again", "", "http://[bad"} {
		var here atomic.Int32
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			here.Add(1)
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		got, err := newClient(t, testOptions(server.URL)).Query(t.Context(), validRequest())
		wantClass(t, err, chinaums.ClassTransient)
		if got.HTTPStatus != http.StatusTemporaryRedirect || here.Load() != 1 || elsewhere.Load() != 0 {
			t.Errorf("%q: HTTP %d, %d requests here, %d elsewhere", location, got.HTTPStatus, here.Load(), elsewhere.Load())
		}
	}
}

func TestQueryBoundsTheBody(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	fill := func(n int) string {
		const head, tail = `{"errCode":"SUCCESS","x":"`, `"}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	if got, err := ask(t, http.StatusOK, fill(limit)); err != nil || len(got.Redacted) != limit {
		t.Errorf("at the limit: %d bytes, %v", len(got.Redacted), err)
	}
	got, err := ask(t, http.StatusOK, fill(limit+1))
	if trouble := wantTrouble(t, err, chinaums.ClassTransient); !strings.Contains(trouble.Error(), "longer than 1048576 bytes") {
		t.Errorf("got %v", trouble)
	}
	if len(got.Redacted) < limit || got.HTTPStatus != http.StatusOK || got.Code != "" {
		t.Errorf("over the limit: %d bytes, HTTP %d, %q", len(got.Redacted), got.HTTPStatus, got.Code)
	}
	// A whole object and then far more: the body is whole JSON only because it was cut.
	got, err = ask(t, http.StatusOK, fill(100)+strings.Repeat(" ", limit))
	wantClass(t, err, chinaums.ClassTransient)
	if len(got.Redacted) < 100 {
		t.Errorf("%d bytes", len(got.Redacted))
	}
}

func TestQueryConnectionCutInsideTheBody(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"errCode":"SUCCESS","status":"TRADE_SUCCESS"}`)
	})
	got, err := newClient(t, testOptions(server.URL)).Query(t.Context(), validRequest())
	trouble := wantTrouble(t, err, chinaums.ClassTransient)
	if !errors.Is(trouble, io.ErrUnexpectedEOF) || got.HTTPStatus != 200 || !got.Trade.HasStatus() {
		t.Errorf("got %+v, %v", got, err)
	}
}

// hangingServer answers nothing, or the headers alone, until the test ends.
func hangingServer(t *testing.T, withHeaders bool, arrived chan<- struct{}) *httptest.Server {
	t.Helper()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if withHeaders {
			_, _ = io.WriteString(w, `{"errCode":`)
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-release
	}))
	t.Cleanup(func() { close(release); server.Close() })
	return server
}

func TestQueryTimeoutIsNamed(t *testing.T) {
	t.Parallel()
	for _, withHeaders := range []bool{false, true} {
		t.Run(fmt.Sprintf("headers %t", withHeaders), func(t *testing.T) {
			t.Parallel()
			o := testOptions(hangingServer(t, withHeaders, make(chan struct{}, 1)).URL)
			o.Timeout = 100 * time.Millisecond
			_, err := newClient(t, o).Query(t.Context(), validRequest())
			trouble := wantTrouble(t, err, chinaums.ClassTransient)
			if !errors.Is(trouble, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the request timeout of 100ms passed") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestQueryCancelled(t *testing.T) {
	t.Parallel()
	shutdown := errors.New("shutting down")
	for _, cause := range []error{nil, shutdown} {
		for _, withHeaders := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, headers %t", cause, withHeaders), func(t *testing.T) {
				t.Parallel()
				arrived := make(chan struct{})
				client := newClient(t, testOptions(hangingServer(t, withHeaders, arrived).URL))
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					<-arrived
					cancel(cause)
				}()
				_, err := client.Query(ctx, validRequest())
				trouble := wantTrouble(t, err, chinaums.ClassTransient)
				if !errors.Is(trouble, context.Canceled) || cause != nil && !errors.Is(trouble, cause) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

func TestQueryNothingListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	got, err := newClient(t, testOptions("http://"+address)).Query(t.Context(), validRequest())
	trouble := wantTrouble(t, err, chinaums.ClassTransient)
	var dial *net.OpError
	if !errors.As(trouble, &dial) || trouble.HTTPStatus != 0 || got.HTTPStatus != 0 || got.Redacted != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestQuerySendsNothingBad(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	o := testOptions(server.URL)
	_, err := newClient(t, o).Query(t.Context(), chinaums.Request{MID: "1"})
	wantClass(t, err, chinaums.ClassBadRequest)

	o.Rand = strings.NewReader("too short")
	_, err = newClient(t, o).Query(t.Context(), validRequest())
	if trouble := wantTrouble(t, err, chinaums.ClassTransient); !errors.Is(trouble, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newClient(t, testOptions(server.URL)).Query(cancelled, validRequest())
	if trouble := wantTrouble(t, err, chinaums.ClassTransient); !errors.Is(trouble, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if requests.Load() != 0 {
		t.Errorf("%d requests sent", requests.Load())
	}
}

// A server that closes a kept connection instead of answering must cost one round trip, not two.
func TestQueryIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"errCode":"SUCCESS"}`)
	})
	client := newClient(t, testOptions(server.URL))
	for i := range 6 {
		got, err := client.Query(t.Context(), validRequest())
		if odd := i%2 == 1; odd {
			wantClass(t, err, chinaums.ClassTransient)
		} else if err != nil {
			t.Fatal(err)
		}
		if n := requests.Load(); n != int32(i+1) {
			t.Fatalf("%d requests after %d questions (%+v)", n, i+1, got)
		}
	}
}

func TestQueryKeepsConnections(t *testing.T) {
	t.Parallel()
	addresses := map[string]bool{}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		addresses[r.RemoteAddr] = true
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, strings.Repeat("<html>", 1000))
	})
	client := newClient(t, testOptions(server.URL))
	for range 5 {
		_, err := client.Query(t.Context(), validRequest())
		wantClass(t, err, chinaums.ClassTransient)
	}
	if len(addresses) != 1 {
		t.Errorf("%d connections for 5 questions", len(addresses))
	}
}

func TestErrorsNeverShowTheKeyOrTheSignature(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 302, 412, 502} {
		_, err := ask(t, status, "<html>")
		text := fmt.Sprintf("%v %+v %#v", err, err, err)
		if strings.Contains(text, official().AppKey) || strings.Contains(text, "OPEN-BODY-SIG") {
			t.Errorf("HTTP %d: %s", status, text)
		}
	}
}
