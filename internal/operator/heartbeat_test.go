package operator_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

func TestHeartbeatEveryFifteenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var log bytes.Buffer
		var beats []float64
		h := &operator.Heartbeat{
			Logger: slog.New(slog.NewTextHandler(&log, nil)), Worker: "w", Version: "v",
			Pulse: func() operator.Pulse { return operator.Pulse{Trouble: "t"} },
			Beat: func(_ context.Context, i store.Instance, _ ...store.AsideOrder) error {
				beats = append(beats, time.Since(began).Seconds())
				if i.Worker != "w" || i.Trouble != "t" || i.LastPassAt != nil || !i.StartedAt.Equal(began) {
					t.Errorf("instance %+v", i)
				}
				if n := len(beats); n == 2 || n == 3 {
					return errors.New("no database")
				}
				return nil
			},
		}
		ctx, stop := context.WithTimeout(t.Context(), 70*time.Second)
		defer stop()
		h.Run(ctx)
		if diff := cmp.Diff([]float64{0, 15, 30, 45, 60}, beats); diff != "" {
			t.Errorf("beats (-want +got):\n%s", diff)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "heartbeat works again") {
			t.Errorf("log, want a line for the failure and one for its end:\n%s", &log)
		}
	})
}

// A heartbeat replaces the row, removes rows of a day ago, and ends the incident of a pause that
// has run out.
func TestHeartbeatInTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(t, `INSERT INTO instances (worker, version, seen_at) VALUES ('old', 'v1', now() - interval '25 hours'), ('recent', 'v1', now() - interval '23 hours')`)
	w.exec(t, `INSERT INTO gateway_controls (scope, key, paused_until, set_by) VALUES ('mid', 'over', now() - interval '1 minute', 'li'), ('mid', 'on', NULL, 'li')`)
	w.exec(t, `INSERT INTO gateway_incidents (scope, key, opened_by, opened_at) VALUES ('mid', 'over', 'li', now() - interval '1 hour'), ('mid', 'on', 'li', now())`)
	w.beat(t)
	w.exec(t, `UPDATE instances SET trouble = 'gone with the next' WHERE worker = 'web-1/7'`)
	w.beat(t)
	list, err := w.Store.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var workers []string
	for _, i := range list {
		workers = append(workers, i.Worker+i.Trouble)
	}
	if diff := cmp.Diff([]string{"web-1/7", "recent"}, workers); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	if got := scan[string](t, w, `SELECT string_agg(key, ' ') FROM gateway_incidents WHERE closed_at IS NULL`); got != "on" {
		t.Errorf("incidents that go on: %q, want that of the pause in force", got)
	}
}
