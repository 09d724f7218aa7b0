package ops

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"reconciler/internal/store"
)

func TestReadyMetric(t *testing.T) {
	t.Parallel()
	away, stuck := errors.New("the database is away"), errors.New("the pass stands still")
	for _, tt := range []struct {
		name                     string
		database, passes         error
		starting                 bool
		wantDB, wantSch, wantPas int
		writing                  error
	}{
		{"starting", nil, nil, true, 0, 0, 0, errNothingWritten},
		{"ready", nil, nil, false, 1, 1, 1, nil},
		{"database away", away, nil, false, 0, 0, 1, nil},
		{"old schema", fmt.Errorf("check: %w", store.ErrOldSchema), nil, false, 1, 0, 1, nil},
		{"passes stand still", nil, stuck, false, 1, 1, 0, nil},
		{"answers cannot be written", nil, nil, false, 1, 1, 1, errors.New("no INSERT")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, m := &Status{}, NewMetrics()
			m.WatchReady(s)
			if !tt.starting {
				s.Serve(database(tt.database), troubles{tt.passes, tt.writing})
			}
			wantWriting := 1
			if tt.writing != nil {
				wantWriting = 0
			}
			body := scrape(t, m)
			for check, want := range map[string]int{"database": tt.wantDB, "schema": tt.wantSch, "passes": tt.wantPas, "writing": wantWriting} {
				if line := fmt.Sprintf("reconciler_ready{check=%q} %d\n", check, want); !strings.Contains(body, line) {
					t.Errorf("the metrics lack %s", line)
				}
			}
		})
	}
}

// troubles are those of passes and of writing.
type troubles struct{ passes, writing error }

func (t troubles) PassTrouble() error { return t.passes }

func (t troubles) WritingTrouble() error { return t.writing }

// Scrapes, however many, do not load the database.
func TestReadyMetricIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s, m := &Status{}, NewMetrics()
		s.Serve(databaseFunc(func(context.Context) error { asked++; return nil }), passes(nil))
		m.WatchReady(s)
		for range 10 {
			scrape(t, m)
		}
		time.Sleep(keptFor)
		scrape(t, m)
		if asked != 2 {
			t.Errorf("the database was asked %d times, want 2", asked)
		}
	})
}

func TestBuildInfo(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.SetBuild("v1.2.3\xff", 12)
	m.WatchReady(&Status{})
	body := scrape(t, m)
	if !strings.Contains(body, "reconciler_build_info{schema=\"12\",version=\"v1.2.3\uFFFD\"} 1\n") {
		t.Error("the metrics lack reconciler_build_info")
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
