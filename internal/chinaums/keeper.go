package chinaums

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// tokenKeeper holds the access token of one app id for all its questions. The gateway keeps few tokens alive at once, so that
// there must never be one for each question.
type tokenKeeper struct {
	fetch func(ctx context.Context) (accessToken, error) // holds the credentials
	now   func() time.Time
	turn  chan struct{} // full while one question renews the token; unlike for a mutex, a question can stop waiting for it

	mu       sync.Mutex
	held     accessToken
	unproven bool // the token before was refused, and no question has been answered with this one
}

func newTokenKeeper(now func() time.Time, fetch func(ctx context.Context) (accessToken, error)) *tokenKeeper {
	return &tokenKeeper{fetch: fetch, now: now, turn: make(chan struct{}, 1)}
}

// take returns the token for one question. When it is due one question renews it; the others go on with the old one until
// that ends, and then wait. A renewal that failed leaves nothing behind: whoever waits next tries again, in its own time.
func (k *tokenKeeper) take(ctx context.Context) (accessToken, error) {
	held, now := k.holding(), k.now()
	renewing := len(k.turn) > 0
	if now.Before(held.renewAt) || renewing && now.Before(held.endsAt) {
		return held, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
		return k.renew(ctx)
	case <-ctx.Done():
		return accessToken{}, noToken(ClassTransient, Answer{}, withCause(ctx, ctx.Err()))
	}
}

// renew is called by one question at a time.
func (k *tokenKeeper) renew(ctx context.Context) (accessToken, error) {
	held, now := k.holding(), k.now()
	if now.Before(held.renewAt) {
		return held, nil // another question was faster
	}
	fresh, err := k.fetch(ctx)
	if err == nil {
		k.hold(fresh)
		return fresh, nil
	}
	if trouble, ok := errors.AsType[*Error](err); ok && trouble.Class == ClassTransient && k.postpone(held, now) {
		return held, nil
	}
	return accessToken{}, err
}

// postpone puts off the renewal of a token that still lives until halfway to its end, so that few questions pay for an endpoint
// that fails. It reports whether there is such a token.
func (k *tokenKeeper) postpone(held accessToken, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held.secret != held.secret || !k.now().Before(held.endsAt) {
		return false
	}
	k.held.renewAt = now.Add(held.endsAt.Sub(now) / 2)
	return true
}

// judge learns from the answer to a question that was asked with a token. One that refuses the token as an old one, be it that
// it ended early or that others took newer ones, is ClassTransient, whatever its code: the next round trip brings a new token.
// Only when the next one is refused too, without an answer between them, is it the credentials that are wrong.
func (k *tokenKeeper) judge(used accessToken, a Answer, err error) (Answer, error) {
	if !failsAuth(a) {
		if a.HTTPStatus == http.StatusOK && a.Code != "" {
			k.accept(used)
		}
		return a, err
	}
	if k.refuse(used) {
		return a, newError(ClassCredentials, a, errTokensRefused)
	}
	return a, newError(ClassTransient, a, errTokenRefused)
}

func (k *tokenKeeper) accept(used accessToken) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held.secret == used.secret {
		k.unproven = false
	}
}

// refuse forgets a token, unless a newer one has taken its place, and reports whether the one before was refused too.
func (k *tokenKeeper) refuse(used accessToken) (again bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held.secret != used.secret {
		return false
	}
	again = k.unproven
	k.held, k.unproven = accessToken{}, true
	return again
}

func (k *tokenKeeper) hold(fresh accessToken) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = fresh
}

func (k *tokenKeeper) holding() accessToken {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held
}
