package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const webhookSecret = "whsec_c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWUtMDE="

// shop is the application's end of the webhook.
type shop struct {
	*httptest.Server

	mu     sync.Mutex
	bodies []string
	bad    []error
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		key, _ := standardwebhooks.NewWebhook(webhookSecret)
		if err := key.Verify(body, r.Header); err != nil {
			s.bad = append(s.bad, err)
		}
		s.bodies = append(s.bodies, string(body))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bad) > 0 {
		return -1
	}
	return len(s.bodies)
}

// The daemon tells the application of each outcome, and a second one goes on when the first is
// killed.
func TestDaemonDeliversEvents(t *testing.T) {
	t.Parallel()
	w, shop := newWorld(t), newShop(t)
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(webhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("RECONCILER_WEBHOOK_URL="+shop.URL+"/hook?token=xyzzy", "RECONCILER_WEBHOOK_SECRET_FILE="+secretFile)
	first := w.start(t, "run")
	eventually(t, "the webhook is registered", func() bool { return scan[int](t, w, `SELECT count(*) FROM event_consumers`) == 1 })
	w.orders(t, 3, paid())
	delivered := func() int {
		return scan[int](t, w, `SELECT count(*) FROM webhook_deliveries WHERE delivered_at IS NOT NULL AND last_status = 200`)
	}
	eventually(t, "three events are delivered", func() bool { return delivered() == 3 })
	second := w.start(t, "run")
	first.signal(t, syscall.SIGKILL)
	w.exec(t, `UPDATE event_consumers SET held_until = now()`) // as half a minute later
	w.orders(t, 1, paid())
	eventually(t, "the second daemon delivers", func() bool { return delivered() == 4 })
	second.stop(t)
	for _, secret := range []string{"xyzzy", webhookSecret} {
		if strings.Contains(second.stderr.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
	if n := shop.received(); n != 4 {
		t.Errorf("%d requests with good signatures, want 4", n)
	}
}

func TestWebhookSettings(t *testing.T) {
	t.Parallel()
	readable := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(readable, []byte(webhookSecret), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(readable, 0o666); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ settings, says []string }{
		"plain http to another machine": {
			[]string{"RECONCILER_WEBHOOK_URL=http://shop.example/hook", "RECONCILER_WEBHOOK_SECRET=" + webhookSecret},
			[]string{"webhook-url", "plain http", "--insecure-http"},
		},
		"no secret":            {[]string{"RECONCILER_WEBHOOK_URL=https://shop.example/hook"}, []string{"RECONCILER_WEBHOOK_SECRET"}},
		"a secret and no URL":  {[]string{"RECONCILER_WEBHOOK_SECRET=" + webhookSecret}, []string{"RECONCILER_WEBHOOK_URL"}},
		"a secret of no form":  {[]string{"RECONCILER_WEBHOOK_URL=https://shop.example/hook", "RECONCILER_WEBHOOK_SECRET=not base64"}, []string{"base64"}},
		"both kinds of secret": {[]string{"RECONCILER_WEBHOOK_URL=https://shop.example/hook", "RECONCILER_WEBHOOK_SECRET=x", "RECONCILER_WEBHOOK_SECRET_FILE=y"}, []string{"set one"}},
		"a file that others may change": {
			[]string{"RECONCILER_WEBHOOK_URL=https://shop.example/hook", "RECONCILER_WEBHOOK_SECRET_FILE=" + readable},
			[]string{"webhook-secret-file", "can be changed by others"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set(tt.settings...)
			r := w.invoke(t, "run")
			r.want(t, 2, tt.says...)
			r.lacks(t, webhookSecret)
		})
	}
	t.Run("config shows no secret", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.set("RECONCILER_WEBHOOK_URL=https://user:xyzzy@shop.example/hook", "RECONCILER_WEBHOOK_SECRET="+webhookSecret)
		r := w.invoke(t, "config")
		r.want(t, 0)
		r.lacks(t, webhookSecret)
		r.lacks(t, "xyzzy")
	})
}
