// Package ops serves what operators look at: whether the process lives (/healthz), whether it does
// its work (/readyz) and its figures (/metrics).
//
// "Ready" means more than "answers": the database is reachable, its schema is current and the
// passes go on. Operators find out last about a daemon that is up and settles nothing.
package ops

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"sync"
)

// Database is asked whether it can be reached and is up to date.
type Database interface {
	CheckSchema(ctx context.Context) error
}

// Passes are asked whether they go on, and whether what they find out can be written.
type Passes interface {
	PassTrouble() error
	WritingTrouble() error
}

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
	return s.runChecks(ctx).joinCauses()
}

func newHandler(status *Status, metrics *Metrics, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeAnswer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { writeAnswer(w, status.Ready(r.Context())) })
	mux.Handle("GET /metrics", metrics.handler())
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func writeAnswer(w http.ResponseWriter, err error) {
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
