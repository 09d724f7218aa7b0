package ops

import (
	"context"
	"sync"
	"time"
)

const (
	// readTimeout bounds one reading, and what /readyz asks the database.
	readTimeout = 3 * time.Second
	// keptFor is how long a reading serves, also one that failed: scrapes, however many, do not
	// load the database.
	keptFor = 15 * time.Second
)

// kept is read when it is scraped. While the source cannot be read it says just that: an old figure
// would look like a good one.
type kept[T any] struct {
	mu     sync.Mutex // held while reading: one reading at a time, and the others take its result
	read   func(context.Context) T
	last   T
	readAt time.Time
}

// watch sets what is read. Until then there is nothing.
func (k *kept[T]) watch(read func(context.Context) T) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.read, k.readAt = read, time.Time{}
}

// latest returns the last reading, after a new one if it is old.
func (k *kept[T]) latest() T {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read != nil && time.Since(k.readAt) >= keptFor {
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		k.last, k.readAt = k.read(ctx), time.Now()
	}
	return k.last
}
