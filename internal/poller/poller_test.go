package poller

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// A lease outlasts three round trips, two waits at their longest (375 and 750 ms) and
// five seconds for the write.
func TestMinLease(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		10 * time.Second: 36125 * time.Millisecond,
		time.Second:      9125 * time.Millisecond,
	} {
		if got := MinLease(timeout); got != want {
			t.Errorf("MinLease(%s) = %s, want %s", timeout, got, want)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	good := func() Options {
		return Options{
			Store: &store.Store{}, Apps: oneApp(gatewayFunc(nil)), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Worker: "test",
			Concurrency: 32, Rate: 50, RequestTimeout: 10 * time.Second, Lease: time.Minute, Rules: policy.Rules{Plan: testPlan()},
		}
	}
	if err := good().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string // "": it is good
	}{
		{"no store", func(o *Options) { o.Store = nil }, "store"},
		{"no gateway", func(o *Options) { o.Apps[0].Gateway = nil }, "gateway"},
		{"no logger", func(o *Options) { o.Logger = nil }, "logger"},
		{"no worker", func(o *Options) { o.Worker = "" }, "worker"},
		{"no concurrency", func(o *Options) { o.Concurrency = 0 }, "Concurrency must"},
		{"no rate limit", func(o *Options) { o.Rate = 0 }, ""},
		{"negative rate", func(o *Options) { o.Rate = -1 }, "Rate must"},
		{"hardly a rate", func(o *Options) { o.Rate = 0.001 }, "Rate must"},
		{"rate no number", func(o *Options) { o.Rate = math.NaN() }, "Rate must"},
		{"rate endless", func(o *Options) { o.Rate = math.Inf(1) }, "Rate must"},
		{"no timeout", func(o *Options) { o.RequestTimeout = 0 }, "RequestTimeout must"},
		{"least lease", func(o *Options) { o.Lease = MinLease(o.RequestTimeout) }, ""},
		{"shorter lease", func(o *Options) { o.Lease = MinLease(o.RequestTimeout) - 1 }, "Lease must"},
		{"endless lease", func(o *Options) { o.Lease = 25 * time.Hour }, "Lease must be at most 24h"},
		{"the plan's too", func(o *Options) { o.Rules.Plan.Jitter = 2 }, "Jitter must"},
	} {
		o := good()
		tt.change(&o)
		_, err := New(o)
		if (err == nil) != (tt.want == "") || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
