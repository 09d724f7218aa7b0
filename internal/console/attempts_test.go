package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// admitted tells how long an attempt had to wait, -1 where it was refused.
func admitted(t *testing.T, a *attempts, name, address string) (time.Duration, func()) {
	t.Helper()
	began := time.Now()
	succeeded, err := a.admitAttempt(t.Context(), name, address)
	if err != nil {
		if !errors.As(err, new(tooManyError)) {
			t.Error(err)
		}
		return -1, nil
	}
	return time.Since(began), succeeded
}

func TestAttemptsOfOneName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts()
		for i := range 25 {
			want := time.Duration(0)
			switch {
			case i >= 20:
				want = -1
			case i >= 5:
				want = 5 * time.Second
			}
			if got, _ := admitted(t, a, "li", fmt.Sprintf("10.0.0.%d", i)); got != want {
				t.Errorf("attempt %d: %v, want %v", i+1, got, want)
			}
		}
		if got, _ := admitted(t, a, "zhang", "10.0.1.1"); got != 0 {
			t.Errorf("another person waits %v", got)
		}
		time.Sleep(10 * time.Minute) // in a bubble: the clock is the test's
		if got, _ := admitted(t, a, "li", "10.0.0.1"); got != 0 {
			t.Errorf("after ten minutes: %v", got)
		}
	})
}

func TestAttemptsFromOneAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts()
		for i := range 20 {
			admitted(t, a, fmt.Sprintf("name-%d", i), "10.0.0.1")
		}
		if got, _ := admitted(t, a, "li", "10.0.0.1"); got != -1 {
			t.Errorf("the address was admitted after %v", got)
		}
		if got, _ := admitted(t, a, "li", "10.0.0.2"); got != 0 {
			t.Errorf("another address waits %v", got)
		}
	})
}

// Attempts at the same time count as failures until they succeed.
func TestAttemptsAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts()
		var mu sync.Mutex
		waits := make(map[time.Duration]int)
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				wait, _ := admitted(t, a, "li", "10.0.0.1")
				mu.Lock()
				defer mu.Unlock()
				waits[wait]++
			})
		}
		all.Wait()
		if waits[0] != 5 || waits[5*time.Second] != 15 || waits[-1] != 20 {
			t.Errorf("waits: %v", waits)
		}
	})
}

func TestSuccessIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts()
		for range 30 {
			wait, succeeded := admitted(t, a, "li", "10.0.0.1")
			if wait != 0 {
				t.Fatalf("waits %v", wait)
			}
			succeeded()
		}
		for range 5 {
			admitted(t, a, "li", "10.0.0.1")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.admitAttempt(ctx, "li", "10.0.0.1"); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone waits on: %v", err)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		token := s.beginSession(user{Name: "li"})
		time.Sleep(sessionAge - time.Second)
		if _, found := s.findSession(token); !found {
			t.Error("it has ended too soon")
		}
		time.Sleep(time.Second)
		if _, found := s.findSession(token); found {
			t.Error("it lasts longer than 12 hours")
		}
		s.beginSession(user{Name: "zhang"})
		if len(s.byID) != 1 {
			t.Errorf("%d sessions are kept", len(s.byID))
		}
	})
}

func TestPreferredLanguage(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"": "en", "zh": "zh", "zh-CN,zh;q=0.9,en;q=0.8": "zh", "en;q=0.5, zh-TW;q=0.7": "zh", "de,fr;q=0.5": "en", "en-US": "en", "zh;q=0, en;q=0.1": "en", "zh;q=x": "en", "*": "en",
	} {
		if got := preferredLanguage(accept, "en"); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
	if got := preferredLanguage("fr", "zh"); got != "zh" {
		t.Errorf("a browser that wants neither: %s", got)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "short": "***", "oX9aB3longbuyer4f": "oX9***4f", "张三李四王五赵六钱": "张三李***六钱", "6222****1234": "6222****1234"} {
		if got := maskText(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	document := []byte(`{"buyerId": "oX9aB3longbuyer4f", "sub_buyer_id": 77, "inner": [{"BuyerUserName": "wang wu li", "x": "hello wang wu li"}], "n": 1.50}`)
	want := "{\n  \"buyerId\": \"oX9***4f\",\n  \"inner\": [\n    {\n      \"BuyerUserName\": \"wan***li\",\n      \"x\": \"hello wan***li\"\n    }\n  ],\n  \"n\": 1.50,\n  \"sub_buyer_id\": \"***\"\n}"
	if got := maskDocument(document, nil); got != want {
		t.Errorf("got %s", got)
	}
}
