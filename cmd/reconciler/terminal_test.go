package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// hostile tries to steer the terminal, to reorder the line and to forge a new one.
const hostile = "a\x1b[2J\u009b31m\u202e\nfake"

// Texts of others reach the terminal spelled, and JSON keeps their values.
func TestForeignTextDoesNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	raw := []string{"\x1b", "\u009b", "\u202e", "\nfake"}
	t.Run("run-once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.credentials(t, entry(appID, mid))
		w.insert(t, strangerMID+hostile, "319400000001"+hostile)
		paused := otherMID + hostile
		w.insert(t, paused, "319400000002")
		w.exec(t, `INSERT INTO gateway_controls (scope, key, reason, set_by) VALUES ('mid', $1, 'a', 'li')`, paused)
		w.invoke(t, "run-once", "--dry-run").want(t, 0, "merchant "+otherMID+`a\x1b[2J\u009b31m\u202e\nfake is paused`)
		r := w.invoke(t, "run-once", "--dry-run")
		r.want(t, 0, strangerMID+`a\x1b[2J\u009b31m\u202e\nfake`, `319400000001a\x1b[2J`)
		r.lacks(t, raw...)
		r = w.invoke(t, "run-once", "--dry-run", "--output=json")
		r.lacks(t, raw...)
		var report struct {
			Changes []struct{ MID string }
		}
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Changes) != 1 || report.Changes[0].MID != strangerMID+hostile {
			t.Errorf("%v: %s", err, r.stdout)
		}
	})
	t.Run("query", func(t *testing.T) {
		t.Parallel()
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			text, err := json.Marshal(hostile)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, `{"errCode":%s,"errMsg":%s,"status":%s}`, text, text, text)
		}))
		t.Cleanup(gateway.Close)
		env := []string{"CHINAUMS_APP_ID=" + appID, "CHINAUMS_APP_KEY=" + appKey, "CHINAUMS_BASE_URL=" + gateway.URL}
		for _, form := range []string{"text", "json"} {
			r := invoke(t, env, "query", "--mid="+mid, "--tid="+tid, "--mer-order-id=3194000000000001", "--output="+form)
			r.want(t, 1, "err_code")
			r.lacks(t, raw...)
		}
	})
	t.Run("error", func(t *testing.T) {
		t.Parallel()
		r := invoke(t, nil, "run", "--log-level="+hostile, "--schedule="+hostile, "--gateway-url=http://h"+hostile)
		r.want(t, 2, "log-level", "schedule")
		r.lacks(t, raw[:3]...)
		r = invoke(t, nil, "run", "--bogus"+hostile)
		r.want(t, 2, "bogus")
		r.lacks(t, raw[:3]...)
	})
}
