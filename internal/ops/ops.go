// Package ops serves what operators look at: whether the process lives
// (/healthz), whether it does its work (/readyz) and its figures (/metrics).
//
// "Ready" means more than "answers": the database is reachable, its schema is
// current and the passes go on. A daemon that is up but settles nothing is the
// failure that operators otherwise find out about last.
package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"
)

// Database is asked whether it can be reached and is up to date.
type Database interface {
	CheckSchema(ctx context.Context) error
}

// Passes are asked whether they go on.
type Passes interface {
	Ready() error
}

// readyTimeout bounds the database's part of a readiness check.
const readyTimeout = 3 * time.Second

// Status answers the health questions. Its zero value is alive and not ready.
type Status struct {
	mu       sync.Mutex
	database Database
	passes   Passes
}

// Serve says that the work has begun.
func (s *Status) Serve(database Database, passes Passes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.database, s.passes = database, passes
}

// Ready returns why the process does not do its work.
func (s *Status) Ready(ctx context.Context) error {
	s.mu.Lock()
	database, passes := s.database, s.passes
	s.mu.Unlock()
	if database == nil {
		return errors.New("starting: the database has not answered yet")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return errors.Join(database.CheckSchema(ctx), passes.Ready())
}

// CheckAddress refuses an address that [Listen] could never listen on. Its error continues a sentence
// that begins with the name of the setting.
func CheckAddress(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port)
	}
	if err != nil {
		return fmt.Errorf("must be host:port or :port, not %q: %w", address, err)
	}
	return nil
}

// Server serves until it is closed.
type Server struct {
	http *http.Server
	// Address is where it listens, "" when it is off.
	Address string
}

// Listen serves on address; an empty one is off. With profiles, /debug/pprof is
// served as well: whoever reaches the address can then look into the process.
func Listen(ctx context.Context, address string, profiles bool, logger *slog.Logger, status *Status, metrics *Metrics) (*Server, error) {
	if address == "" {
		return &Server{}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Server{Address: listener.Addr().String(), http: &http.Server{
		Handler:           handler(status, metrics, profiles),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      time.Minute, // a profile takes 30 s by default
	}}
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.LogAttrs(ctx, slog.LevelError, "health server ended", slog.Any("error", err))
		}
	}()
	logger.LogAttrs(ctx, slog.LevelInfo, "health server listens", slog.String("address", s.Address))
	return s, nil
}

// Close ends the server.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close() // the process ends: there is nobody to tell
	}
}

func handler(status *Status, metrics *Metrics, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, status.Ready(r.Context())) })
	mux.Handle("GET /metrics", metrics.handler())
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func answer(w http.ResponseWriter, err error) {
	body := map[string]string{"status": "ok"}
	code := http.StatusOK
	if err != nil {
		body = map[string]string{"status": "unavailable", "error": err.Error()}
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the asker has gone: nothing to do
}
