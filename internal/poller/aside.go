package poller

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler/internal/store"
)

const (
	maxAsideWait = time.Hour
	// maxAsideShown bounds the orders that people are told of.
	maxAsideShown = 5
)

// aside holds the orders whose rows refuse to be written: a trigger raises or drops the write. They
// are not claimed for a while, each time twice as long, at most an hour.
type aside struct {
	lease  time.Duration
	logger *slog.Logger

	mu   sync.Mutex
	rows map[int64]*asideRow
}

type asideRow struct {
	refusedLeases int // in a row
	wait          time.Duration
	until         time.Time
	cause         error // why it was left out last; nil: it was not
}

func newAside(lease time.Duration, logger *slog.Logger) *aside {
	return &aside{lease: lease, logger: logger, rows: make(map[int64]*asideRow)}
}

// countRefusal counts a lease in which the row refused its write, and returns how many there were
// in a row.
func (a *aside) countRefusal(id int64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	row := a.rowOf(id)
	row.refusedLeases++
	row.until = time.Now().Add(a.lease)
	return row.refusedLeases
}

// leaveOut keeps a row aside.
func (a *aside) leaveOut(ctx context.Context, id int64, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	row := a.rowOf(id)
	row.wait = min(max(a.lease, 2*row.wait), maxAsideWait)
	row.until, row.cause = time.Now().Add(row.wait), cause
	a.logger.LogAttrs(ctx, slog.LevelError, "an order cannot be written and waits aside",
		slog.Int64("order_id", id), slog.Duration("wait", row.wait), slog.Any("error", cause))
}

// awaitLock keeps a row aside for a lease: another session holds a lock that its claim needs. That
// is no refusal.
func (a *aside) awaitLock(ctx context.Context, id int64, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rowOf(id).until = time.Now().Add(a.lease)
	a.logger.LogAttrs(ctx, slog.LevelWarn, "an order waits aside for a lock", slog.Int64("order_id", id),
		slog.Duration("wait", a.lease), slog.Any("error", cause))
}

func (a *aside) rowOf(id int64) *asideRow {
	if a.rows[id] == nil {
		a.rows[id] = &asideRow{}
	}
	return a.rows[id]
}

// forgetOrder takes a row back that was written.
func (a *aside) forgetOrder(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.rows, id)
}

// leftOut lists the first orders that are left out, or are being tried again.
func (a *aside) leftOut() []store.AsideOrder {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []store.AsideOrder
	for id, row := range a.rows {
		if row.cause != nil && time.Now().Before(row.until.Add(a.lease)) {
			list = append(list, store.AsideOrder{ID: id, Cause: strings.ReplaceAll(row.cause.Error(), "\n", "; ")})
		}
	}
	slices.SortFunc(list, func(x, y store.AsideOrder) int { return cmp.Compare(x.ID, y.ID) })
	return list[:min(len(list), maxAsideShown)]
}

// currentIDs lists the orders that are not to be claimed now. Rows that were aside long ago are
// forgotten.
func (a *aside) currentIDs() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(a.rows, func(_ int64, row *asideRow) bool { return now.Sub(row.until) > 2*maxAsideWait })
	var ids []int64
	for id, row := range a.rows {
		if now.Before(row.until) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
