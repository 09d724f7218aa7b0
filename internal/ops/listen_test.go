package ops

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// patience bounds every wait of these tests.
const patience = 3 * time.Minute

// Connections that send nothing hold at most as many descriptors as the limit, and others are
// served as soon as one of them is gone.
func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const limit = 3
	listener := limitConnections(inner, limit)
	server := newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }), slog.New(slog.DiscardHandler))
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { server.Close(); ended.Wait() })

	var idle []net.Conn
	for range limit {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	deadline := time.Now().Add(patience)
	for len(listener.slots) < limit && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	// One more gets into the system's queue and waits there.
	waiting, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	fmt.Fprint(waiting, "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if n := len(listener.slots); n != limit {
		t.Errorf("%d connections are open, want %d", n, limit)
	}
	idle[0].Close()
	if err := waiting.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(waiting), nil)
	if err != nil {
		t.Fatalf("the waiting connection was not served: %v", err)
	}
	response.Body.Close()
}

// A listener without a free slot still closes at once.
func TestFullListenerCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := limitConnections(&stubListener{}, 0)
		result := make(chan error)
		go func() {
			_, err := listener.Accept()
			result <- err
		}()
		synctest.Wait()
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	})
}

type stubListener struct{ net.Listener }

func (stubListener) Close() error { return nil }

// Every way of holding a connection ends by itself.
func TestServerHasLimits(t *testing.T) {
	t.Parallel()
	s := newHTTPServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	for name, limit := range map[string]time.Duration{"header": s.ReadHeaderTimeout, "idle": s.IdleTimeout, "write": s.WriteTimeout} {
		if limit <= 0 || limit > time.Minute {
			t.Errorf("%s timeout = %v", name, limit)
		}
	}
	if s.MaxHeaderBytes <= 0 || s.MaxHeaderBytes > 64<<10 {
		t.Errorf("header bytes = %d", s.MaxHeaderBytes)
	}
}

// What the server of the standard library complains about is a line of our log.
func TestServerErrorsAreLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newHTTPServer(http.NotFoundHandler(), slog.New(slog.NewJSONHandler(&log, nil)))
	s.ErrorLog.Printf("http: Accept error: %v; retrying", errors.New("too many open files"))
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line["level"] != "WARN" || !strings.Contains(fmt.Sprint(line["msg"]), "too many open files") {
		t.Errorf("%v: %s", err, log.String())
	}
}
