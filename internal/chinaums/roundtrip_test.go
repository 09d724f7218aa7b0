package chinaums_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/chinaums"
)

func serveConnections(t *testing.T, answer func(connection net.Conn, number int) error) string {
	t.Helper()
	return serveBodies(t, func(connection net.Conn, number int, _ string) error { return answer(connection, number) })
}

// serveBodies answers on raw connections. The answer runs once for each request; its number counts
// the requests of its connection from 1. An error closes the connection.
func serveBodies(t *testing.T, answer func(connection net.Conn, number int, body string) error) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer connection.Close()
				reader := bufio.NewReader(connection)
				for number := 1; ; number++ {
					request, err := http.ReadRequest(reader)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(request.Body)
					if answer(connection, number, string(body)) != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return "http://" + listener.Addr().String()
}

func say(w io.Writer, parts ...string) error {
	_, err := io.WriteString(w, strings.Join(parts, ""))
	return err
}

// answered is a whole answer with a body.
func answered(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// forever repeats a text until the client leaves.
func forever(w io.Writer, text string) error {
	for {
		if err := say(w, text); err != nil {
			return err
		}
	}
}

// drip repeats a text slowly until the client leaves.
func drip(w io.Writer, text string) error {
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for range ticks.C {
		if err := say(w, text); err != nil {
			return err
		}
	}
	return nil
}

// silence waits until the client leaves.
func silence(connection net.Conn) error {
	_, _ = io.Copy(io.Discard, connection)
	return io.EOF
}

// Nothing that a gateway does keeps a question longer than the request timeout: these answers never
// end.
func TestEveryReadEnds(t *testing.T) {
	t.Parallel()
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, tt := range map[string]struct {
		answer func(net.Conn, int) error
		alive  bool
	}{
		"101 and silence": {func(c net.Conn, _ int) error {
			_ = say(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			return silence(c)
		}, false},
		"101 that drips":  {func(c net.Conn, _ int) error { return errors.Join(say(c, "HTTP/1.1 101 S\r\n\r\n"), drip(c, "{")) }, false},
		"101 that floods": {func(c net.Conn, _ int) error { return errors.Join(say(c, "HTTP/1.1 101 S\r\n\r\n"), forever(c, "{")) }, false},
		"101 with upgrade": {func(c net.Conn, _ int) error {
			_ = say(c, "HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
			return silence(c)
		}, false},
		"100 for ever":      {func(c net.Conn, _ int) error { return forever(c, "HTTP/1.1 100 Continue\r\n\r\n") }, false},
		"103 that drips":    {func(c net.Conn, _ int) error { return drip(c, "HTTP/1.1 103 Early Hints\r\n\r\n") }, false},
		"header that drips": {func(c net.Conn, _ int) error { return errors.Join(say(c, "HTTP/1.1 200 OK\r\n"), drip(c, "X: y\r\n")) }, false},
		"endless header": {func(c net.Conn, _ int) error {
			return errors.Join(say(c, "HTTP/1.1 200 OK\r\n"), forever(c, "X: y\r\n"))
		}, false},
		"endless line":      {func(c net.Conn, _ int) error { return errors.Join(say(c, "HTTP/1.1 200 "), forever(c, "OK")) }, false},
		"silence":           {func(c net.Conn, _ int) error { return silence(c) }, false},
		"body that drips":   {func(c net.Conn, _ int) error { return errors.Join(say(c, "HTTP/1.1 200 OK\r\n\r\n{"), drip(c, " ")) }, true},
		"spaces, no object": {func(c net.Conn, _ int) error { return errors.Join(say(c, "HTTP/1.1 200 OK\r\n\r\n"), drip(c, " ")) }, false},
		"body that floods":  {func(c net.Conn, _ int) error { return errors.Join(say(c, "HTTP/1.1 200 OK\r\n\r\n{"), forever(c, " ")) }, true},
		"chunks that drip":  {func(c net.Conn, _ int) error { return errors.Join(say(c, chunked), drip(c, "1\r\n{\r\n")) }, true},
		"endless chunk":     {func(c net.Conn, _ int) error { return errors.Join(say(c, chunked, "1;"), forever(c, "x")) }, false},
		"endless trailer": {func(c net.Conn, _ int) error {
			return errors.Join(say(c, chunked, "1\r\n{\r\n0\r\n"), drip(c, "X: y\r\n"))
		}, true},
		"redirect, endless": {func(c net.Conn, _ int) error {
			return errors.Join(say(c, "HTTP/1.1 302 F\r\nLocation: /\r\n\r\n"), drip(c, "x"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions(serveConnections(t, tt.answer))
			if o.Timeout = 300 * time.Millisecond; tt.alive { // its beginning has to come in time
				o.Timeout = 3 * time.Second
			}
			_, err := newClient(t, o).Query(t.Context(), validRequest())
			trouble := wantTrouble(t, err, chinaums.ClassTransient)
			if trouble.GatewayFailed == tt.alive {
				t.Errorf("GatewayFailed %t: %v", trouble.GatewayFailed, err)
			}
			if strings.HasPrefix(name, "101") && trouble.HTTPStatus != http.StatusSwitchingProtocols {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatShowsTheGatewayAlive(t *testing.T) {
	t.Parallel()
	const trade = `,"status":"TRADE_SUCCESS","mid":"898340149000005"`
	for _, tt := range []struct {
		status int
		body   string
		failed bool
	}{
		{200, `{"errCode":"9999"}`, false},
		{200, "\ufeff \r\n\t" + `{"errCode":"9999"}`, false},
		{200, `{}`, false},
		{200, `{"errCode":"SUCCESS"` + trade, false}, // cut off
		{200, "{\"errCode\":\"SUCCESS\",\"a\":\"\t\"}", false},
		{200, `{"errCode":"SUCCESS"}{}`, false},
		{200, `{`, false},
		{412, `{"errCode":"9200"}`, false},
		{404, `{"errCode":"SUCCESS"}`, false},
		{302, `{"errCode":"9999"}`, false},
		{200, "", true},
		{200, "\ufeff", true},
		{200, "[{}]", true},
		{200, `"{}"`, true},
		{200, "null", true},
		{200, "<html>{}</html>", true},
		{412, "<html>", true},
		{404, "not found", true},
		{302, "", true},
		{429, `{"errCode":"9999"}`, true},
		{500, `{"errCode":"9999"}`, true},
		{500, `{"errCode":"NO_MERCHANT"` + trade + `}`, true},
		{503, `{"errCode":"SUCCESS"` + trade + `}`, true},
	} {
		_, err := ask(t, tt.status, tt.body)
		var trouble *chinaums.Error
		if !errors.As(err, &trouble) && tt.body != "{}" || trouble != nil && trouble.GatewayFailed != tt.failed {
			t.Errorf("HTTP %d %q: %v", tt.status, tt.body, err)
		}
	}
}

// A caller who gave up says nothing about the gateway; neither does a question that was not sent.
func TestOwnFailuresAreNotTheGateways(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := testOptions("http://127.0.0.1:1")
	_, err := newClient(t, o).Query(ctx, validRequest())
	if wantTrouble(t, err, chinaums.ClassTransient).GatewayFailed {
		t.Error("cancelled")
	}
	_, err = newClient(t, o).Query(t.Context(), validRequest())
	if !wantTrouble(t, err, chinaums.ClassTransient).GatewayFailed {
		t.Error("refused connection")
	}
	o.Rand = strings.NewReader("")
	_, err = newClient(t, o).Query(t.Context(), validRequest())
	if wantTrouble(t, err, chinaums.ClassTransient).GatewayFailed {
		t.Error("no nonce")
	}
	o.Auth, o.Rand = chinaums.AuthAccessToken, nil
	_, err = newClient(t, o).Query(t.Context(), validRequest())
	if !wantTrouble(t, err, chinaums.ClassTransient).GatewayFailed {
		t.Error("refused connection for the token")
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		status int
		header string
		want   string
	}{
		{429, "120", "2m0s"},
		{503, "120", "2m0s"},
		{429, "0", "0s"},
		{429, " 7 ", "7s"},
		{429, "3599", "59m59s"},
		{429, "3601", "1h0m0s"},
		{429, "99999999999999999999999", "1h0m0s"},
		{429, in(90 * time.Second), "1m30s"},
		{503, in(5 * time.Hour), "1h0m0s"},
		{429, now.Add(time.Minute).Format(time.RFC850), "1m0s"},
		{429, now.Add(time.Minute).Format(time.ANSIC), "1m0s"},
		{429, in(-time.Second), "none"},
		{429, "", "none"},
		{429, "-1", "none"},
		{429, "1.5", "none"},
		{429, "soon", "none"},
		{429, "2026-06-01T12:00:00Z", "none"},
		{500, "120", "none"},
		{200, "120", "none"},
		{412, "120", "none"},
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", tt.header)
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, `{"errCode":"9999"}`)
		})
		o := testOptions(server.URL)
		o.Now = func() time.Time { return now }
		_, err := newClient(t, o).Query(t.Context(), validRequest())
		got := "none"
		if wait := wantTrouble(t, err, chinaums.ClassTransient).RetryAfter; wait != nil {
			got = wait.String()
		}
		if got != tt.want {
			t.Errorf("HTTP %d, %q: got %s, want %s", tt.status, tt.header, got, tt.want)
		}
	}
}

func TestClockTroubleNamesTheDifference(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 4, 0, 0, 0, time.UTC) // 12:00 in China
	for body, want := range map[string]string{
		`{"errCode":"ABNORMAL_REQUEST_TIME","responseTimestamp":"2026-06-01 12:10:05"}`: "this machine's clock is off: it is 10m5s behind the answer's stamp, 2026-06-01 12:10:05",
		`{"errCode":"ABNORMAL_REQUEST_TIME","responseTimeStamp":"2026-06-01 04:00:00"}`: "this machine's clock is off: it is 8h0m0s ahead of the answer's stamp, 2026-06-01 04:00:00",
		`{"errCode":"ABNORMAL_REQUEST_TIME","responseTimestamp":"soon"}`:                "this machine's clock is off: it is 1h0m0s ahead of the answer's stamp, 2026-06-01 11:00:00",
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", now.Add(-time.Hour).Format(http.TimeFormat))
			_, _ = io.WriteString(w, body)
		})
		o := testOptions(server.URL)
		o.Now = func() time.Time { return now }
		_, err := newClient(t, o).Query(t.Context(), validRequest())
		if trouble := wantTrouble(t, err, chinaums.ClassCredentials); !strings.HasSuffix(trouble.Error(), want) {
			t.Errorf("got %v, want %s", trouble, want)
		}
	}
	url := serveConnections(t, func(c net.Conn, _ int) error { return say(c, answered(`{"errCode":"ABNORMAL_REQUEST_TIME"}`)) })
	_, err := newClient(t, testOptions(url)).Query(t.Context(), validRequest())
	if trouble := wantTrouble(t, err, chinaums.ClassCredentials); !strings.HasSuffix(trouble.Error(), "this machine's clock is off") {
		t.Errorf("got %v", trouble)
	}
}

// A connection whose answers are out of step is not used again.
func TestConnectionOutOfStepIsClosed(t *testing.T) {
	t.Parallel()
	for name, member := range map[string]string{
		"mid":             `"mid":"898000000000000"`,
		"mer_order_id":    `"mid":"898340149000005","merOrderId":"another"`,
		"target_order_id": `"targetOrderId":"another"`,
		"two numbers":     `"merOrderId":"319420230831135026","merOrderId":"another"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			url := serveConnections(t, func(c net.Conn, number int) error {
				if number == 1 && connections.Add(1) == 1 {
					return say(c, answered(`{"errCode":"SUCCESS",`+member+`}`))
				}
				return say(c, answered(`{"errCode":"SUCCESS","mid":"898340149000005","merOrderId":"319420230831135026"}`))
			})
			client := newClient(t, testOptions(url))
			r := validRequest()
			r.TargetOrderID = "4200001234"
			for range 3 {
				if _, err := client.Query(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if n := connections.Load(); n != 2 {
				t.Errorf("%d connections, want the first one and another", n)
			}
		})
	}
}

func TestNewConnection(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var numbers []int
	url := serveConnections(t, func(c net.Conn, number int) error {
		mu.Lock()
		numbers = append(numbers, number)
		mu.Unlock()
		return say(c, answered(`{"errCode":"SUCCESS"}`))
	})
	client := newClient(t, testOptions(url))
	for _, alone := range []bool{false, true, true, false} {
		r := validRequest()
		r.NewConnection = alone
		if _, err := client.Query(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(numbers); got != "[1 1 1 2]" {
		t.Errorf("requests came as number %s of their connections", got)
	}
}

// A second, unasked answer must not be taken for that of another order once the caller asks on a
// new connection.
func TestUnaskedAnswers(t *testing.T) {
	t.Parallel()
	url := serveBodies(t, func(c net.Conn, _ int, body string) error {
		_, after, _ := strings.Cut(body, `"merOrderId":"`)
		number, _, _ := strings.Cut(after, `"`)
		answer := answered(`{"errCode":"SUCCESS","mid":"898340149000005","merOrderId":"` + number + `"}`)
		return say(c, answer, answer)
	})
	client := newClient(t, testOptions(url))
	for i := range 200 {
		r := validRequest()
		r.MerOrderID = fmt.Sprintf("3194%06d", i)
		for try := range 3 {
			r.NewConnection = try > 0
			answer, err := client.Query(t.Context(), r)
			if err == nil && answer.Trade.MerOrderID.Value == r.MerOrderID {
				break
			}
			if try > 0 {
				t.Fatalf("order %d on a connection of its own: %v, %+v", i, err, answer.Trade.MerOrderID)
			}
		}
	}
}

// A gateway that closes each connection after its answer, without saying so, costs no round trip
// that it has not seen.
func TestClosedIdleConnectionCostsNothing(t *testing.T) {
	t.Parallel()
	var received atomic.Int32
	url := serveConnections(t, func(c net.Conn, _ int) error {
		received.Add(1)
		return errors.Join(say(c, answered(`{"errCode":"SUCCESS"}`)), io.EOF)
	})
	client := newClient(t, testOptions(url))
	var unseen, failed atomic.Int32
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 100 {
				_, err := client.Query(t.Context(), validRequest())
				if err != nil {
					failed.Add(1)
				}
				if err != nil && strings.Contains(err.Error(), "server closed idle connection") {
					unseen.Add(1)
				}
			}
		})
	}
	asking.Wait()
	t.Logf("400 round trips, %d received, %d failed", received.Load(), failed.Load())
	if unseen.Load() != 0 {
		t.Errorf("%d of 400 round trips were never sent", unseen.Load())
	}
}
