package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

type databaseFunc func(ctx context.Context) error

func (f databaseFunc) CheckSchema(ctx context.Context) error { return f(ctx) }

type passesFunc func() error

func (f passesFunc) PassTrouble() error { return f() }

func (f passesFunc) WritingTrouble() error { return nil }

func database(err error) databaseFunc { return func(context.Context) error { return err } }

func passes(err error) passesFunc { return func() error { return err } }

func TestHandler(t *testing.T) {
	t.Parallel()
	serving := func(databaseErr, passesErr error) *Status {
		s := &Status{}
		s.Serve(database(databaseErr), passes(passesErr))
		return s
	}
	away, stuck := errors.New("the database is away"), errors.New("the pass stands still")
	for _, test := range []struct {
		name   string
		status *Status
		path   string
		code   int
		want   []string
	}{
		{"alive before the start", &Status{}, "/healthz", 200, []string{`"ok"`}},
		{"alive without a database", serving(away, stuck), "/healthz", 200, []string{`"ok"`}},
		{"not ready before the start", &Status{}, "/readyz", 503, []string{`"unavailable"`, "starting"}},
		{"ready", serving(nil, nil), "/readyz", 200, []string{`"ok"`}},
		{"not ready without a database", serving(away, nil), "/readyz", 503, []string{away.Error()}},
		{"not ready without passes", serving(nil, stuck), "/readyz", 503, []string{stuck.Error()}},
		{"not ready for two reasons", serving(away, stuck), "/readyz", 503, []string{away.Error(), stuck.Error()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			response := ask(test.status, NewMetrics(), http.MethodGet, test.path)
			if response.Code != test.code {
				t.Errorf("code %d, want %d", response.Code, test.code)
			}
			if kind := response.Header().Get("Content-Type"); kind != "application/json" {
				t.Errorf("content type %q", kind)
			}
			body := response.Body.String()
			if !json.Valid([]byte(body)) {
				t.Errorf("not JSON: %s", body)
			}
			for _, text := range test.want {
				if !strings.Contains(body, text) {
					t.Errorf("%s does not say %s", body, text)
				}
			}
		})
	}
}

func TestHandlerServesNothingElse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		method, path string
		code         int
	}{
		{http.MethodPost, "/healthz", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/readyz", http.StatusMethodNotAllowed},
		{http.MethodHead, "/healthz", http.StatusOK},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound},
		{http.MethodGet, "/healthz/more", http.StatusNotFound},
	} {
		if got := ask(&Status{}, NewMetrics(), test.method, test.path).Code; got != test.code {
			t.Errorf("%s %s = %d, want %d", test.method, test.path, got, test.code)
		}
	}
}

// ask asks without a network.
func ask(status *Status, metrics *Metrics, method, path string) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	newHandler(status, metrics, false).ServeHTTP(response, httptest.NewRequest(method, path, nil))
	return response
}

// A database that does not answer is a database that is away.
func TestReadyIsBounded(t *testing.T) {
	t.Parallel()
	var limit time.Duration
	s := &Status{}
	s.Serve(databaseFunc(func(ctx context.Context) error {
		deadline, bounded := ctx.Deadline()
		if !bounded {
			t.Error("the check may take for ever")
		}
		limit = time.Until(deadline)
		return context.DeadlineExceeded
	}), passes(nil))
	if err := s.Ready(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ready: %v", err)
	}
	if limit > readTimeout {
		t.Errorf("bounded by %v, want at most %v", limit, readTimeout)
	}
}

func TestStatusIsSafeForManyAtOnce(t *testing.T) {
	t.Parallel()
	s := &Status{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { s.Serve(database(nil), passes(nil)) })
		group.Go(func() { _ = s.Ready(t.Context()) })
	}
	group.Wait()
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"": true, "127.0.0.1:9464": true, ":9464": true, "localhost:0": true, "[::1]:9464": true, ":http": true,
		"127.0.0.1": false, "9464": false, "::1:9464": false, "127.0.0.1:65536": false, "127.0.0.1:-1": false,
		"127.0.0.1:no-such-service": false, "http://127.0.0.1:9464": false,
	} {
		if err := CheckAddress(address); (err == nil) != good {
			t.Errorf("CheckAddress(%q) = %v", address, err)
		} else if err != nil && !strings.Contains(err.Error(), strconv.Quote(address)) {
			t.Errorf("CheckAddress(%q) = %v, which does not show it", address, err)
		}
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	server, err := Listen(t.Context(), "127.0.0.1:0", false, logger, &Status{}, NewMetrics())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), `"address":"`+server.Address+`"`) {
		t.Errorf("the log does not say where: %s", log.String())
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + server.Address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/healthz = %d", response.StatusCode)
	}
	if _, err := Listen(t.Context(), server.Address, false, logger, &Status{}, NewMetrics()); err == nil {
		t.Error("listens twice on one address")
	}

	server.Close()
	if conn, err := net.Dial("tcp", server.Address); err == nil {
		conn.Close()
		t.Error("still listens after Close")
	}
	if strings.Contains(log.String(), "ended") {
		t.Errorf("an ordinary end was logged as trouble: %s", log.String())
	}
}

func TestListenOff(t *testing.T) {
	t.Parallel()
	server, err := Listen(t.Context(), "", false, slog.New(slog.DiscardHandler), &Status{}, NewMetrics())
	if err != nil {
		t.Fatal(err)
	}
	if server.Address != "" {
		t.Errorf("address %q, want none", server.Address)
	}
	server.Close()
}

func TestProfilesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for profiles, want := range map[bool]int{false: http.StatusNotFound, true: http.StatusOK} {
		w := httptest.NewRecorder()
		newHandler(&Status{}, NewMetrics(), profiles).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/pprof/heap?debug=1", nil))
		if w.Code != want {
			t.Errorf("profiles %v: %d, want %d", profiles, w.Code, want)
		}
	}
}
