package poller

import (
	"testing"
	"testing/synctest"
	"time"
)

// The last questions may end while the claim looks for more. Then the claimer looks again at once: a
// run-once ended a second late.
func TestAwaitChangeOfWhatHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &claimer{queue: newQueue(severalMerchants(64), 320, 0), app: testApp}
		begin := time.Now()
		c.awaitChange(t.Context(), false, false)
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %s for questions that had ended", waited)
		}
		c.awaitChange(t.Context(), false, true)
		if waited := time.Since(begin); waited != lookAgainAfter {
			t.Errorf("an idle app waited %s, want %s: nothing has changed", waited, lookAgainAfter)
		}
	})
}
