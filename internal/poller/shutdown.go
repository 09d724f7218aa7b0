package poller

import (
	"context"
	"time"
)

// The whole stop, from the signal on:
//
//	0 s        nothing more is claimed; claims that were not asked are given back
//	≤ 10 s     a claim statement under way ends: what it takes would else be in nobody's hands
//	≤ 18 s     the present round trips end, at most one request timeout; no retry begins
//	≤ 28 s     every answer is written
//	≤ 29 s     the claims of those that could not be written are uncounted
//	30 s       the process ends itself (cmd/reconciler, graceTime)
const (
	// maxAskAfterStop bounds the present round trip of a question.
	maxAskAfterStop = 18 * time.Second
	// maxWriteAfterStop is the time for the writes that follow.
	maxWriteAfterStop = 10 * time.Second
	// MaxStop is the longest time that a pass takes from the end of its context to its return.
	MaxStop = maxAskAfterStop + maxWriteAfterStop + lastTry
)

// shutdown holds the three contexts of a pass. Each ends a while after the one before.
type shutdown struct {
	claiming context.Context // ends with the stop
	asking   context.Context // ends one request timeout later
	writing  context.Context // ends when the writes must have ended
	release  func()
}

func newShutdown(ctx context.Context, requestTimeout time.Duration) shutdown {
	ask := min(requestTimeout, maxAskAfterStop)
	asking, stopAsking := outliving(ctx, ask)
	writing, stopWriting := outliving(ctx, ask+maxWriteAfterStop)
	return shutdown{ctx, asking, writing, func() { stopAsking(); stopWriting() }}
}

// outliving is a context that ends some time after ctx does.
func outliving(ctx context.Context, keepFor time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(keepFor, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() { stop(); cancel() }
}
