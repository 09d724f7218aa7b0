package chinaums

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// tokenCache holds the access token of one app id for all its questions. The gateway keeps few
// tokens alive at once, so each question must not get one of its own.
type tokenCache struct {
	fetch    func(ctx context.Context) (accessToken, error) // holds the credentials
	now      func() time.Time
	renewing chan struct{} // full while one question renews the token; unlike for a mutex, a question can stop waiting for it

	mu       sync.Mutex
	token    accessToken
	unproven bool // the token before was refused, and no question has been answered with this one
}

func newTokenCache(now func() time.Time, fetch func(ctx context.Context) (accessToken, error)) *tokenCache {
	return &tokenCache{fetch: fetch, now: now, renewing: make(chan struct{}, 1)}
}

// get returns the token for one question. When it is due one question renews it; the others go on
// with the old one until that ends, and then wait. A renewal that failed leaves nothing behind: the
// next question that waits tries again, in its own time.
func (c *tokenCache) get(ctx context.Context) (accessToken, error) {
	token, now := c.currentToken(), c.now()
	if now.Before(token.renewAt) || len(c.renewing) > 0 && now.Before(token.endsAt) {
		return token, nil
	}
	select {
	case c.renewing <- struct{}{}:
		defer func() { <-c.renewing }()
		return c.renewToken(ctx)
	case <-ctx.Done():
		return accessToken{}, noToken(reply{}.newError(ClassTransient, withCause(ctx, ctx.Err())))
	}
}

// renewToken is called by one question at a time.
func (c *tokenCache) renewToken(ctx context.Context) (accessToken, error) {
	token, now := c.currentToken(), c.now()
	if now.Before(token.renewAt) {
		return token, nil // another question was faster
	}
	fresh, err := c.fetch(ctx)
	if err == nil {
		c.storeToken(fresh)
		return fresh, nil
	}
	if trouble, ok := errors.AsType[*Error](err); ok && trouble.Class == ClassTransient && c.postponeRenewal(token, now) {
		return token, nil
	}
	return accessToken{}, err
}

// postponeRenewal waits until halfway to the end of a token that still lives, so that few questions
// pay for an endpoint that fails. It reports whether there is such a token.
func (c *tokenCache) postponeRenewal(token accessToken, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.secret != token.secret || !c.now().Before(token.endsAt) {
		return false
	}
	c.token.renewAt = now.Add(token.endsAt.Sub(now) / 2)
	return true
}

// onAnswer learns from the answer to a question that was asked with a token, and returns the
// question's error. The gateway may refuse the token as an old one: it ended early, or newer ones
// pushed it out. Then the error is ClassTransient whatever its code: the next round trip brings a
// new token. Only when the next one is refused too, without an answer between them, are the
// credentials wrong.
func (c *tokenCache) onAnswer(used accessToken, a Answer, err error) error {
	trouble, ok := errors.AsType[*Error](err)
	switch {
	case !failsAuth(a) || !ok:
		if a.HTTPStatus == http.StatusOK && a.Code != "" {
			c.markAnswered(used)
		}
		return err
	case c.dropToken(used):
		trouble.Class, trouble.Err = ClassCredentials, errTokensRefused
	default:
		trouble.Class, trouble.Err = ClassTransient, errTokenRefused
	}
	return trouble
}

func (c *tokenCache) markAnswered(used accessToken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.secret == used.secret {
		c.unproven = false
	}
}

// dropToken forgets a token, unless a newer one has replaced it, and reports whether the one before
// was refused too.
func (c *tokenCache) dropToken(used accessToken) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.secret != used.secret {
		return false
	}
	again = c.unproven
	c.token, c.unproven = accessToken{}, true
	return again
}

func (c *tokenCache) storeToken(fresh accessToken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = fresh
}

func (c *tokenCache) currentToken() accessToken {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}
