package webhook

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"reconciler/internal/store"
)

func TestRetryWait(t *testing.T) {
	t.Parallel()
	within := func(attempts int, least, most time.Duration) {
		t.Helper()
		if got := retryWait(attempts, time.Hour); got < least || got > most {
			t.Errorf("wait %d is %v, want %v to %v", attempts, got, least, most)
		}
	}
	within(1, 5*time.Second, 5500*time.Millisecond)
	within(2, 9*time.Second, 11*time.Second)
	within(5, 72*time.Second, 88*time.Second)
	within(11, 54*time.Minute, time.Hour)
	within(100, 54*time.Minute, time.Hour)
	if retryWait(minAttempts, maxPending) != 0 {
		t.Error("not set aside after three days")
	}
	if retryWait(1, 10*maxPending) == 0 {
		t.Error("set aside after one attempt: no instance may have run for a while")
	}
}

// A process that was stopped between its look at the database and its request sends nothing when it
// wakes up late.
func TestLateProcessSendsNothing(t *testing.T) {
	t.Parallel()
	now := time.Now()
	d := &Deliverer{options: Options{Now: func() time.Time { return now }}}
	if e := d.deliverOnce(t.Context(), store.Delivery{EventID: 1, OrderID: 2}, now); e.sent || e.OrderID != 2 {
		t.Errorf("%+v, want nothing sent about order 2", e)
	}
}

func TestTroubleIsToldOnceAMinute(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	now := time.Now()
	tr := trouble{logger: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }, begins: "fails", ends: "works again"}
	lines := func() int { return strings.Count(log.String(), "\n") }
	for range 70 {
		tr.noteFailure(t.Context())
		tr.noteSuccess(t.Context())
		now = now.Add(time.Second)
	}
	if lines() != 2 || !strings.Contains(log.String(), "failures=60") {
		t.Errorf("the log has:\n%s", log.String())
	}
	tr.endIfOver(t.Context())
	now = now.Add(quietFor)
	tr.endIfOver(t.Context())
	tr.endIfOver(t.Context())
	if lines() != 3 || !strings.Contains(log.String(), `msg="works again" after=1m9s`) {
		t.Errorf("the log has:\n%s", log.String())
	}
	tr.noteFailure(t.Context())
	now = now.Add(quietFor)
	tr.endIfOver(t.Context())
	if lines() != 4 {
		t.Errorf("it is over while it fails:\n%s", log.String())
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"https://shop.example/hook":     true,
		"http://127.0.0.1:8080/hook":    true,
		"http://LocalHost/hook":         true,
		"https://shop.example:443/hook": true,
		"https://shop.example:99999/":   false,
		"https://shop.example:0/":       false,
		"https://shop.example:/hook":    false,
		"http://[::1]:1/":               true,
		"http://shop.example/hook":      false,
		"http://127.0.0.1.example/":     false,
		"ftp://shop.example/":           false,
		"shop.example/hook":             false,
		"https:///hook":                 false,
		"https://user:pass word@shop/%": false,
	} {
		if err := CheckURL(address, false); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		} else if err != nil && strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: the error has the password: %v", address, err)
		}
	}
	if err := CheckURL("http://shop.example/hook", true); err != nil {
		t.Error(err)
	}
}

func TestCheckSecret(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "fine",
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw":       "fine",
		"whsec_c2hvcnQ=":                         "warning",
		"whsec_":                                 "error",
		"":                                       "error",
		"whsec_not base64":                       "error",
	} {
		got := "fine"
		warning, err := CheckSecret(secret)
		if warning != "" {
			got = "warning"
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", secret, got, want)
		}
	}
}
