package webhook_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/webhook"
)

func TestDelivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tell(t, 1, 2, 1, 3, 1)
	w.start(t)
	w.awaitState(t, 1, "delivered", "delivered", "delivered")
	w.awaitState(t, 2, "delivered")
	w.awaitState(t, 3, "delivered")
	var last int64
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.had {
		if d.Problem != nil {
			t.Errorf("%s: %v", d.Body, d.Problem)
		}
		if d.Order == 1 && d.ID < last {
			t.Errorf("event %d came after %d", d.ID, last)
		} else if d.Order == 1 {
			last = d.ID
		}
	}
	if len(w.had) != 5 {
		t.Errorf("%d requests, want 5", len(w.had))
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(w.had[0].Body), &body); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, body["created_at"].(string))
	if err != nil || time.Since(at).Abs() > time.Hour || body["event"] != "order.paid" || body["data"] == nil || len(body) != 4 {
		t.Errorf("body %s", w.had[0].Body)
	}
}

// What fails is tried again and holds up later events of its order, and no other order.
func TestRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answers(func(rw http.ResponseWriter, order int64) {
		if order == 1 {
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(rw, "no \xff stock\x00")
		}
	})
	w.tell(t, 1, 1, 2)
	w.start(t)
	w.awaitState(t, 2, "delivered")
	w.awaitState(t, 1, "failed", "waits")
	w.tell(t, 1, 3)
	w.awaitState(t, 3, "delivered")
	w.awaitState(t, 1, "failed", "waits", "waits")
	waits := scan[float64](t, w, `SELECT extract(epoch FROM next_at - last_at)::float8 FROM webhook_deliveries WHERE attempts = 1 AND next_at IS NOT NULL`)
	if waits < 5 || waits > 6 {
		t.Errorf("the first wait is %g s, want 5", waits)
	}
	if got := scan[string](t, w, `SELECT last_status || ' ' || last_answer FROM webhook_deliveries WHERE attempts = 1 AND next_at IS NOT NULL`); got != "500 no \uFFFD stock\uFFFD" {
		t.Errorf("kept %q", got)
	}
	w.due(t)
	w.await(t, "a second attempt", func() bool { return w.count(webhook.Failed) == 2 })
	w.answers(status(http.StatusNoContent))
	w.due(t)
	w.awaitState(t, 1, "delivered", "delivered", "delivered")
	if n := strings.Count(w.log.String(), "webhook fails"); n != 1 {
		t.Errorf("%d lines about the trouble, want 1:\n%s", n, w.log)
	}
}

func TestAnswersThatAreNoDelivery(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer  func(t *testing.T, w *world) func(http.ResponseWriter, int64)
		timeout time.Duration // what has to come before it must come on a slow machine too
		want    string
	}{
		"a redirect": {func(t *testing.T, w *world) func(http.ResponseWriter, int64) {
			elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
			t.Cleanup(elsewhere.Close)
			return func(rw http.ResponseWriter, _ int64) {
				rw.Header().Set("Location", elsewhere.URL)
				rw.WriteHeader(http.StatusTemporaryRedirect)
			}
		}, time.Minute, "307 -"},
		"a hang": {func(t *testing.T, w *world) func(http.ResponseWriter, int64) { return hangsFor(t, 1) }, 300 * time.Millisecond, "0 no answer within 300ms"},
		"a slow refusal": {func(t *testing.T, w *world) func(http.ResponseWriter, int64) {
			return func(rw http.ResponseWriter, _ int64) {
				rw.WriteHeader(http.StatusServiceUnavailable)
				_ = http.NewResponseController(rw).Flush()
				<-t.Context().Done()
			}
		}, 3 * time.Second, "503 no answer within 3s"},
		"a long refusal": {func(t *testing.T, w *world) func(http.ResponseWriter, int64) { // 1024 bytes end inside of a character
			return func(rw http.ResponseWriter, _ int64) {
				http.Error(rw, strings.Repeat("缺货", 300), http.StatusInternalServerError)
			}
		}, time.Minute, "500 " + strings.Repeat("缺货", 170) + "缺"},
		"another protocol": {func(t *testing.T, w *world) func(http.ResponseWriter, int64) {
			return func(rw http.ResponseWriter, _ int64) {
				conn, _, err := http.NewResponseController(rw).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				<-t.Context().Done()
			}
		}, time.Minute, "101 -"},
		"a connection that breaks": {func(t *testing.T, w *world) func(http.ResponseWriter, int64) {
			return func(http.ResponseWriter, int64) { panic(http.ErrAbortHandler) }
		}, time.Minute, "0 EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answers(tt.answer(t, w))
			w.tell(t, 1)
			w.start(t, timeout(tt.timeout))
			w.awaitState(t, 1, "failed")
			if got := scan[string](t, w, `SELECT coalesce(last_status, 0) || ' ' || coalesce(last_answer, '-') FROM webhook_deliveries`); got != tt.want {
				t.Errorf("kept %q, want %q", got, tt.want)
			}
		})
	}
}

// An accepted event is not sent again because the answer's body is too long or does not end.
func TestBodyOfAnAcceptance(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(t *testing.T, rw http.ResponseWriter){
		"long": func(_ *testing.T, rw http.ResponseWriter) {
			_, _ = io.WriteString(rw, strings.Repeat("x", 8<<20))
		},
		"endless": func(t *testing.T, rw http.ResponseWriter) {
			_, _ = io.WriteString(rw, strings.Repeat("x", 1<<10))
			_ = http.NewResponseController(rw).Flush()
			<-t.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answers(func(rw http.ResponseWriter, _ int64) { answer(t, rw) })
			w.tell(t, 1)
			w.start(t, timeout(2*time.Second))
			w.awaitState(t, 1, "delivered")
			if n := scan[int](t, w, `SELECT length(last_answer) FROM webhook_deliveries`); n != 1024 {
				t.Errorf("%d bytes kept, want 1024", n)
			}
		})
	}
}

// A receiver that is dead for a while gets everything when it is back.
func TestReceiverComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := closedPort(t)
	w.tell(t, 1, 2, 1)
	w.start(t, func(o *webhook.Options) { o.URL = "http://" + address + "/hook?password=xyzzy" })
	w.awaitState(t, 1, "failed", "waits")
	w.awaitState(t, 2, "failed")
	if got := scan[string](t, w, `SELECT string_agg(last_answer, '') FROM webhook_deliveries`); !strings.Contains(got, "connection refused") || strings.Contains(got, "xyzzy") {
		t.Errorf("kept %q", got)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	receiver := &http.Server{Handler: http.HandlerFunc(w.receive)}
	go func() { _ = receiver.Serve(listener) }()
	t.Cleanup(func() { receiver.Close() })
	w.due(t)
	w.awaitState(t, 1, "delivered", "delivered")
	w.awaitState(t, 2, "delivered")
	if strings.Contains(w.log.String(), "xyzzy") {
		t.Errorf("the log has the address's password:\n%s", w.log)
	}
}

// New events pass beside repetitions that hang, however many those are.
func TestNewEventsPassRepetitionsThatHang(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hanging := make([]int64, 30)
	for i := range hanging {
		hanging[i] = int64(100 + i)
	}
	w.answers(status(http.StatusInternalServerError))
	w.tell(t, hanging...)
	stop := w.start(t)
	w.await(t, "all failed", func() bool { return w.count(webhook.Failed) == len(hanging) })
	stop()
	w.answers(hangsFor(t, hanging...))
	w.due(t)
	w.start(t, timeout(20*time.Second))
	w.await(t, "repetitions hang", func() bool { return len(w.received()) > len(hanging) })
	w.tell(t, 1, 2, 3)
	w.awaitState(t, 1, "delivered")
	w.awaitState(t, 2, "delivered")
	w.awaitState(t, 3, "delivered")
	if n := w.count(webhook.Failed); n != len(hanging) {
		t.Errorf("%d attempts failed meanwhile", n-len(hanging))
	}
	w.receiver.CloseClientConnections()
}

// After three days an event is set aside, and later events of its order go on.
func TestSetsAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var refused int64
	w.answers(func(rw http.ResponseWriter, order int64) { rw.WriteHeader(http.StatusGone) })
	w.tell(t, 1, 1)
	w.start(t)
	w.awaitState(t, 1, "failed", "waits")
	w.exec(t, `UPDATE webhook_deliveries SET attempts = 50, pending_since = now() - interval '71 hours', next_at = now() WHERE attempts = 1`)
	w.await(t, "a failure before the three days", func() bool { return w.count(webhook.Failed) == 2 })
	if got := scan[float64](t, w, `SELECT extract(epoch FROM next_at - last_at)::float8 FROM webhook_deliveries WHERE attempts = 51`); got < 3200 || got > 3600 {
		t.Errorf("a late wait is %g s, want about an hour", got)
	}
	w.answers(func(rw http.ResponseWriter, order int64) {
		if refused++; refused == 1 {
			rw.WriteHeader(http.StatusGone)
		}
	})
	w.exec(t, `UPDATE webhook_deliveries SET pending_since = now() - interval '73 hours', next_at = now() WHERE attempts = 51`)
	w.awaitState(t, 1, "set aside", "delivered")
	if w.count(webhook.SetAside) != 1 || !strings.Contains(w.log.String(), "webhook event set aside") {
		t.Errorf("counted %v, log:\n%s", w.counts, w.log)
	}
}

// One instance delivers. The next one takes over when it stops, and when its lease ends without a
// word.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := func(o *webhook.Options) { o.Lease = 600 * time.Millisecond }
	w.exec(t, `UPDATE event_consumers SET held_by = 'killed', held_until = now() + interval '500 milliseconds' WHERE name = 'webhook'`)
	held := scan[time.Time](t, w, `SELECT held_until FROM event_consumers`)
	w.tell(t, 1)
	stop := w.start(t, lease)
	w.awaitState(t, 1, "delivered")
	if scan[time.Time](t, w, `SELECT last_at FROM webhook_deliveries`).Before(held) {
		t.Error("delivered while another instance held the lease")
	}
	w.start(t, lease, func(o *webhook.Options) { o.Worker = "second" })
	stop()
	w.tell(t, 2)
	w.awaitState(t, 2, "delivered")
	if got := scan[string](t, w, `SELECT held_by FROM event_consumers`); got != "second" {
		t.Errorf("held by %q", got)
	}
	// A lease that ends in the far future is of a clock that was set back.
	w.exec(t, `UPDATE event_consumers SET held_by = 'before the clock was set', held_until = now() + interval '10 days'`)
	w.tell(t, 3)
	w.awaitState(t, 3, "delivered")
}

// A stop waits for the request in flight and writes what became of it.
func TestStopFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.answers(func(http.ResponseWriter, int64) { close(arrived); <-release })
	w.tell(t, 1)
	stop := w.start(t)
	<-arrived
	go close(release)
	stop()
	w.awaitState(t, 1, "delivered")
	if scan[bool](t, w, `SELECT held_by IS NOT NULL FROM event_consumers`) {
		t.Error("the lease was not given back")
	}
	if got := w.received(); !slices.Equal(got, []int64{1}) {
		t.Errorf("received %v", got)
	}
}

// An event that was sent again while it is in flight is sent once more.
func TestResendWhileInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	w.answers(func(http.ResponseWriter, int64) { arrived <- struct{}{}; <-release })
	w.tell(t, 1)
	w.start(t)
	<-arrived
	w.exec(t, `UPDATE webhook_deliveries SET pending_since = now(), next_at = now(), attempts = 0`)
	close(release)
	<-arrived
	w.awaitState(t, 1, "delivered")
}

func TestBeginsAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `DELETE FROM event_consumers`)
	w.tell(t, 1)
	w.start(t)
	w.await(t, "registered", func() bool {
		return scan[int](t, w, `SELECT count(*) FROM event_consumers WHERE name = 'webhook'`) == 1
	})
	w.tell(t, 2)
	w.awaitState(t, 2, "delivered")
	if got := w.received(); !slices.Equal(got, []int64{2}) {
		t.Errorf("received %v, want what came after the start", got)
	}
}
