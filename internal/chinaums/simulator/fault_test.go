package simulator

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// paidBy answers TRADE_SUCCESS by way of a fault.
func paidBy(fault Fault) Order { return order(Step{Status: "TRADE_SUCCESS", Fault: fault}) }

func TestFaultsOfTheConnection(t *testing.T) {
	t.Parallel()
	tests := map[Fault]error{
		FaultReset:     syscall.ECONNRESET,
		FaultClose:     io.EOF,
		FaultTruncated: io.ErrUnexpectedEOF,
	}
	for fault, want := range tests {
		g := serve(t, Options{}, paidBy(fault))
		r := g.ask(question{})
		if !errors.Is(r.err, want) {
			t.Errorf("%s: got %v, want %v", fault, r.err, want)
		}
		if fault == FaultTruncated && (r.status != http.StatusOK || r.header.Get("Content-Type") != contentJSON || len(r.body) < 100) {
			t.Errorf("truncated: HTTP %d, %q", r.status, r.body)
		}
		wantRecord := Answer{Fault: fault}
		if fault == FaultTruncated {
			wantRecord = Answer{Fault: fault, HTTPStatus: http.StatusOK, Code: "SUCCESS", Status: "TRADE_SUCCESS"}
		}
		if diff := cmp.Diff(wantRecord, g.Requests()[0].Answer); diff != "" {
			t.Errorf("%s: record: %s", fault, diff)
		}
	}
}

func TestFaultsThatAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault       Fault
		status      int
		contentType string
		body        string // a part of it
	}{
		{FaultEmpty, 200, contentJSON, ""},
		{FaultHTML404, 404, contentHTML, "<h1>404 Not Found</h1>"},
		{FaultHTML502, 502, contentHTML, "<h1>502 Bad Gateway</h1>"},
		{FaultHTML503, 503, contentHTML, "<h1>503 Service Unavailable</h1>"},
		{FaultHTML504, 504, contentHTML, "<h1>504 Gateway Timeout</h1>"},
		{FaultRateLimit, 429, contentHTML, "<h1>429 Too Many Requests</h1>"},
		{FaultContentType, 200, contentHTML, `"status":"TRADE_SUCCESS"`},
		{FaultOversize, 200, contentJSON, `"status":"TRADE_SUCCESS"`},
		{FaultRawTab, 200, contentJSON, "raw\ttab\"}"},
		{FaultTwice, 200, contentJSON, `"status":"TRADE_SUCCESS"`},
		{FaultCloseAfter, 200, contentJSON, `"status":"TRADE_SUCCESS"`},
	}
	for _, test := range tests {
		r := serve(t, Options{}, paidBy(test.fault)).ask(question{})
		right := r.status == test.status && r.header.Get("Content-Type") == test.contentType && strings.Contains(string(r.body), test.body)
		if r.err != nil || !right {
			t.Errorf("%s: HTTP %d %s %.100q %v", test.fault, r.status, r.header, r.body, r.err)
		}
		switch test.fault {
		case FaultEmpty:
			if len(r.body) != 0 {
				t.Errorf("empty: %q", r.body)
			}
		case FaultOversize:
			if all := names(r.members(t)); len(r.body) <= 1<<20 || all[len(all)-1] != "padding" {
				t.Errorf("oversize: %d bytes with %s", len(r.body), all)
			}
		}
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		script, want int
		method       string
	}{
		{0, http.StatusTemporaryRedirect, http.MethodPost},
		{http.StatusFound, http.StatusFound, http.MethodGet},
	}
	for _, test := range tests {
		g := serve(t, Options{}, order(Step{Fault: FaultRedirect, HTTPStatus: test.script}))
		if got, want := g.told(question{}), "404 no JSON"; got != want {
			t.Errorf("who follows gets %q, want %q", got, want)
		}
		requests := g.Requests()
		if len(requests) != 2 {
			t.Fatalf("%d requests", len(requests))
		}
		first, second := requests[0].Answer.HTTPStatus, requests[1]
		if first != test.want || second.Path != RedirectPath || second.Method != test.method || !second.Authorization {
			t.Errorf("HTTP %d, then %s %s, Authorization %v", first, second.Method, second.Path, second.Authorization)
		}
	}
}

// TestTwice has a second answer on the connection, and serves what is asked after it.
func TestTwice(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "NEW_ORDER", Fault: FaultTwice, Times: 1}, Step{Status: "TRADE_SUCCESS"}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	var got []string
	for i := range 3 {
		if i != 1 {
			if err := g.request(question{}).Write(conn); err != nil {
				t.Fatal(err)
			}
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		got = append(got, received{status: response.StatusCode, body: body}.told())
	}
	want := []string{"200 SUCCESS NEW_ORDER", "200 SUCCESS NEW_ORDER", "200 SUCCESS TRADE_SUCCESS"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestCloseAfter does not say that the connection is closed.
func TestCloseAfter(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, paidBy(FaultCloseAfter))
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := g.request(question{}).Write(conn); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || strings.Contains(string(all), "close") || !strings.Contains(string(all), "TRADE_SUCCESS") {
		t.Errorf("%v: %s", err, all)
	}
}

// TestSwitching ends when the client leaves or the simulator is closed.
func TestSwitching(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		g := serve(t, Options{}, paidBy(FaultSwitching))
		response, err := g.client.Transport.RoundTrip(g.request(question{}))
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", response, err)
		}
		if closed {
			g.Close()
			if rest, err := io.ReadAll(response.Body); err != nil || len(rest) != 0 {
				t.Errorf("%q, %v", rest, err)
			}
		}
		_ = response.Body.Close()
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	for _, step := range []Step{
		{Fault: FaultRateLimit, RetryAfter: "120"},
		{Code: "SYSTEM_BUSY", HTTPStatus: 503, RetryAfter: "soon"},
		{Status: "NEW_ORDER", Fault: FaultTwice, RetryAfter: "7"},
	} {
		if r := serve(t, Options{}, order(step)).ask(question{}); r.header.Get("Retry-After") != step.RetryAfter {
			t.Errorf("%+v: %s", step, r.header)
		}
	}
	g := serve(t, Options{}, order(Step{Status: "NEW_ORDER"}))
	if err := g.SetOutage(Step{HTTPStatus: 429, RetryAfter: "60"}); err != nil {
		t.Fatal(err)
	}
	if r := g.ask(question{}); r.status != 429 || r.header.Get("Retry-After") != "60" {
		t.Errorf("outage: HTTP %d %s", r.status, r.header)
	}
}

// TestEchoOfTheHeader is a gateway that repeats a secret.
func TestEchoOfTheHeader(t *testing.T) {
	t.Parallel()
	for _, step := range []Step{
		{Code: "1000", Message: "wrong: {authorization}"},
		{Status: "NEW_ORDER", Message: "for {authorization}"},
		{Raw: "<html>{authorization}"},
	} {
		g := serve(t, Options{}, order(step))
		sent := g.request(question{}).Header.Get("Authorization")
		r := g.ask(question{authorization: sent})
		if body := strings.ReplaceAll(string(r.body), `\"`, `"`); !strings.Contains(body, sent) {
			t.Errorf("%+v: %s", step, r.body)
		}
	}
}

// TestFaultOfAnOutage bends an answer about whatever is asked, also where there is no order.
func TestFaultOfAnOutage(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{})
	if err := g.SetOutage(Step{Fault: FaultOversize}); err != nil {
		t.Fatal(err)
	}
	r := g.ask(question{})
	if !strings.HasPrefix(r.told(), "200 NO_ORDER") || len(r.body) <= 1<<20 {
		t.Errorf("%s, %d bytes", r.told(), len(r.body))
	}
}

// An outage that repeats answers does not bring back one that the order's own fault takes away.
func TestOwnFaultOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS", Fault: FaultHTML503}))
	if err := g.SetOutage(Step{Fault: FaultTwice}); err != nil {
		t.Fatal(err)
	}
	if got, want := g.told(question{}), "503 no JSON"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEveryFaultIsListed uses each fault once: the zero answer of one that nobody handles would not
// be recorded.
func TestEveryFaultIsListed(t *testing.T) {
	t.Parallel()
	if n := len(Faults()); n != 19 {
		t.Errorf("%d faults are listed", n)
	}
	for _, fault := range Faults() {
		if !fault.isKnown() {
			t.Errorf("%s is not known", fault)
		}
	}
}

// bubble serves over pipes in a test with a false clock, where time passes only while everybody
// waits.
type bubble struct {
	*gateway
	server *http.Server
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.accept <- server
	return client, nil
}

func newBubble(t *testing.T, steps ...Step) bubble {
	t.Helper()
	g := &gateway{clock: newClock(), url: "http://gateway"}
	var err error
	if g.Simulator, err = New(Options{Now: g.clock.Now, Unscripted: steps, Credentials: testCredentials()}); err != nil {
		t.Fatal(err)
	}
	listener := pipes{make(chan net.Conn), make(chan struct{})}
	b := bubble{g, &http.Server{Handler: g, ReadHeaderTimeout: time.Hour}}
	go func() { _ = b.server.Serve(listener) }()
	transport := &http.Transport{DialContext: listener.dial}
	g.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = b.server.Close()
	})
	return b
}

// askFor asks with a patience, and returns the answer and how long it took.
func (b bubble) askFor(patience time.Duration) (received, time.Duration) {
	start := time.Now()
	b.client.Timeout = patience
	r := b.ask(question{})
	return r, time.Since(start)
}

func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t,
			Step{Status: "TRADE_SUCCESS", Delay: 3 * time.Second, Times: 1},
			Step{Fault: FaultHTML502, Delay: time.Second, Times: 1},
			Step{Status: "TRADE_SUCCESS"})
		if r, took := b.askFor(time.Minute); r.told() != "200 SUCCESS TRADE_SUCCESS" || took != 3*time.Second {
			t.Errorf("%s after %v", r.told(), took)
		}
		if r, took := b.askFor(time.Minute); r.told() != "502 no JSON" || took != time.Second {
			t.Errorf("%s after %v", r.told(), took)
		}
		if err := b.SetOutage(Step{Delay: 2 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if r, took := b.askFor(time.Minute); r.told() != "200 SUCCESS TRADE_SUCCESS" || took != 2*time.Second {
			t.Errorf("%s after %v", r.told(), took)
		}
		if _, took := b.askFor(time.Second); took != time.Second {
			t.Errorf("an impatient client got away after %v", took)
		}
	})
}

// TestSlow spreads the pieces over the whole time, except the rest of the division.
func TestSlow(t *testing.T) {
	t.Parallel()
	for _, fault := range []Fault{FaultSlowHeader, FaultSlowBody} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, Step{Status: "TRADE_SUCCESS", Fault: fault})
			defer b.Close() // a header drips on until it is noticed that the client has left
			r, took := b.askFor(time.Hour)
			if r.told() != "200 SUCCESS TRADE_SUCCESS" || r.header.Get("Content-Type") != contentJSON {
				t.Errorf("%s: %s %s", fault, r.told(), r.header)
			}
			if took > slowDefault || took < slowDefault-time.Microsecond {
				t.Errorf("%s: %s after %v", fault, r.told(), took)
			}
			r, took = b.askFor(slowDefault / 2)
			if header := r.status != 0; r.err == nil || header != (fault == FaultSlowBody) || took != slowDefault/2 {
				t.Errorf("%s: HTTP %d, %v after %v", fault, r.status, r.err, took)
			}
		})
	}
}

func TestHang(t *testing.T) {
	t.Parallel()
	ends := map[string]func(bubble){
		"client leaves":        nil,
		"simulator is closed":  func(b bubble) { b.Close() },
		"simulator, twice":     func(b bubble) { b.Close(); b.Close() },
		"server closes itself": func(b bubble) { _ = b.server.Close() },
	}
	for name, end := range ends {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, Step{Fault: FaultHang})
			if end != nil {
				time.AfterFunc(time.Minute, func() { end(b) })
			}
			r, took := b.askFor(time.Hour)
			want := time.Minute
			if end == nil {
				want = time.Hour
			}
			if r.err == nil || took != want {
				t.Errorf("%s: %s after %v", name, r.told(), took)
			}
		})
	}
}

// TestClosedSimulator lets nobody wait any more, whatever the script says.
func TestClosedSimulator(t *testing.T) {
	t.Parallel()
	for _, step := range []Step{{Fault: FaultHang}, {Status: "UNKNOWN", Delay: time.Hour}, {Fault: FaultSlowBody}, {Fault: FaultSlowHeader}} {
		g := serve(t, Options{}, order(step))
		g.Close()
		if r := g.ask(question{}); r.err == nil {
			t.Errorf("%s: %s", step.Fault, r.told())
		}
	}
}

// TestWithoutAConnection ends a request that has no connection of its own, such as one of HTTP/2.
func TestWithoutAConnection(t *testing.T) {
	t.Parallel()
	for _, fault := range []Fault{FaultReset, FaultSlowHeader} {
		g := serve(t, Options{}, paidBy(fault))
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("%s: recovered %v", fault, err)
				}
			}()
			g.ServeHTTP(httptest.NewRecorder(), g.request(question{}))
		}()
	}
}
