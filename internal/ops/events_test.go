package ops

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/store"
	"reconciler/internal/webhook"
)

// consumers is a reader whose events are unread.
type consumers struct {
	readerFunc

	list []store.Unread
}

func (c consumers) UnreadEvents(context.Context) ([]store.Unread, int, error) { return c.list, 0, nil }

func TestUnreadEvents(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	hour := time.Now().Add(-time.Hour)
	later := time.Now().Add(time.Hour) // by a database's clock that is ahead
	m.Watch(consumers{
		readerFunc: func(context.Context) (store.Backlog, error) { return store.Backlog{}, nil },
		list:       []store.Unread{{Consumer: "done"}, {Consumer: "shop\xff", Oldest: &hour}, {Consumer: "webhook", Oldest: &later}},
	}, never)
	got := figures(t, m, "reconciler_events_unread_oldest_seconds")
	const shop = `reconciler_events_unread_oldest_seconds{consumer="shop` + "\uFFFD" + `"}`
	if age := got[shop]; age < 3600 || age > 3700 {
		t.Errorf("the shop's oldest event waits %g s, want an hour", age)
	}
	delete(got, shop)
	want := map[string]float64{
		`reconciler_events_unread_oldest_seconds{consumer="done"}`: 0, `reconciler_events_unread_oldest_seconds{consumer="webhook"}`: 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

func TestDeliveriesAreCounted(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.ObserveDelivery(webhook.Failed)
	want := map[string]float64{
		`reconciler_webhook_deliveries_total{result="delivered"}`: 0, `reconciler_webhook_deliveries_total{result="failed"}`: 1,
		`reconciler_webhook_deliveries_total{result="set_aside"}`: 0,
	}
	if diff := cmp.Diff(want, figures(t, m, "reconciler_webhook_deliveries_total")); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}
