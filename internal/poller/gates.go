package poller

import (
	"errors"
	"math"
	"sync"
	"time"

	"reconciler/internal/order"

	"github.com/sony/gobreaker/v2"
)

const (
	// breakerFailures is how many questions in a row must fail to open the breaker.
	breakerFailures = 5
	// pause is how long an open gate stays shut; then one probe goes through.
	pause = 30 * time.Second
)

// gates keep this instance's questions from a gateway, or from one merchant of it,
// that is in trouble. The app's gate opens after a row of failures, and at once
// when the credentials are refused; a merchant's at once when the merchant is
// refused. What opens is shared with the other instances ([pass.share]): they
// find it in the store with their next claim.
type gates struct {
	app *gate

	mu        sync.Mutex
	merchants map[string]*gate // by mid; only those in trouble
}

func newGates() *gates {
	return &gates{app: newGate(breakerFailures), merchants: make(map[string]*gate)}
}

// room is how many orders may be claimed while inFlight are under way: none while
// the app's gate is open, a single probe while it is half open.
func (g *gates) room(inFlight int) int {
	switch g.app.breaker.State() {
	case gobreaker.StateOpen:
		return 0
	case gobreaker.StateHalfOpen:
		return max(1-inFlight, 0)
	default:
		return math.MaxInt
	}
}

// open reports whether the gateway is not asked at all for now.
func (g *gates) open() bool { return g.app.breaker.State() == gobreaker.StateOpen }

// paused lists the merchants that are not asked for: those shut off, and those
// whose probe is under way.
func (g *gates) paused() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var mids []string
	for mid, gate := range g.merchants {
		switch state := gate.breaker.State(); {
		case state == gobreaker.StateClosed:
			delete(g.merchants, mid)
		case state == gobreaker.StateOpen || gate.probing():
			mids = append(mids, mid)
		}
	}
	return mids
}

// enter asks whether an order of the merchant may be asked about now. If so, its
// outcome must be told to leave, which reports whether that has opened the app's
// gate.
func (g *gates) enter(mid string) (leave func(order.Outcome) (opened bool), ok bool) {
	app, err := g.app.breaker.Allow()
	if err != nil {
		return nil, false
	}
	merchant, err := g.enterMerchant(mid)
	if err != nil {
		app(errExcluded)
		return nil, false
	}
	return func(out order.Outcome) bool {
		trouble := troubleOf(out)
		if errors.Is(trouble, errMerchant) {
			g.shut(mid, merchant)
			app(nil) // the gateway itself is well
			return false
		}
		if merchant != nil && trouble != nil {
			merchant(errExcluded) // not the merchant's trouble
		} else if merchant != nil {
			merchant(nil)
		}
		return g.app.leave(app, trouble)
	}, true
}

// enterMerchant is nil for a merchant that is not in trouble.
func (g *gates) enterMerchant(mid string) (func(error), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate, known := g.merchants[mid]; known {
		return gate.breaker.Allow()
	}
	return nil, nil
}

// shut opens the merchant's gate, by the question that went through it or, at the
// first trouble, by a new one.
func (g *gates) shut(mid string, through func(error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if through != nil {
		through(errMerchant)
		return
	}
	if _, known := g.merchants[mid]; known {
		return
	}
	gate := newGate(1)
	if done, err := gate.breaker.Allow(); err == nil {
		done(errMerchant)
	}
	g.merchants[mid] = gate
}

// What a question says of the gate that it went through.
var (
	errFailed      = errors.New("the gateway failed")
	errCredentials = errors.New("the credentials were refused")
	errMerchant    = errors.New("the merchant was refused")
	errExcluded    = errors.New("nothing was learnt of the gateway")
)

func troubleOf(out order.Outcome) error {
	switch {
	case out.Decision == order.Refused && out.Reason == order.ReasonMerchant:
		return errMerchant
	case out.Decision == order.Refused:
		return errCredentials
	case out.Decision == order.NoAnswer && out.Reason == order.ReasonTransient:
		return errFailed
	case out.Decision == order.NoAnswer:
		return errExcluded
	}
	return nil
}

// gate is a circuit breaker that some troubles open at once.
type gate struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu   sync.Mutex
	trip bool // the failure being told opens the gate, whatever the count
}

func newGate(failures uint32) *gate {
	g := &gate{}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     pause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return g.trip || c.ConsecutiveFailures >= failures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errExcluded) },
	})
	return g
}

// leave tells the gate of a question and reports whether that has opened it.
func (g *gate) leave(done func(error), trouble error) (opened bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.breaker.State()
	g.trip = errors.Is(trouble, errCredentials)
	done(trouble)
	return before != gobreaker.StateOpen && g.breaker.State() == gobreaker.StateOpen
}

func (g *gate) probing() bool {
	counts := g.breaker.Counts()
	return counts.Requests > counts.TotalExclusions
}
