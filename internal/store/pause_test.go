package store_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reconciler/internal/store"
)

// pauseOf is a person's pause of the merchant.
func pauseOf(by, reason string, until *time.Time) store.PersonPause {
	return store.PersonPause{
		Control: store.Control{Scope: store.ScopeMerchant, Key: mid, PausedUntil: until, Reason: reason, SetBy: by},
		Action:  store.Action{Actor: by, Via: "cli", Action: "pause", Reason: reason},
	}
}

// wantPauses compares the pauses in force: about whom, by whom, why, whether there is an end.
func (d database) wantPauses(t *testing.T, when, want string) {
	t.Helper()
	got := scan[string](t, d, `SELECT coalesce(string_agg(concat_ws(' ', scope, key, set_by, reason, CASE WHEN paused_until IS NOT NULL THEN 'until' END,
		probe_until, failed_order_id, failed_mid), ', ' ORDER BY scope, key), '') FROM gateway_controls`)
	if got != want {
		t.Errorf("%s: pauses %q, want %q", when, got, want)
	}
}

func (d database) wantIncidents(t *testing.T, when, want string) {
	t.Helper()
	if got := d.incidents(t); got != want {
		t.Errorf("%s: incidents %q, want %q", when, got, want)
	}
}

// words are the values of some keys of a document.
func words(t *testing.T, document json.RawMessage, keys ...string) string {
	t.Helper()
	if document == nil {
		return "none"
	}
	var fields map[string]any
	must(t, json.Unmarshal(document, &fields))
	var list []string
	for _, key := range keys {
		if word, ok := fields[key].(string); ok {
			list = append(list, word)
		} else {
			list = append(list, "null")
		}
	}
	return strings.Join(list, " ")
}

// A person's pause replaces the breaker's and the person's own, and nobody else's unless it is to.
func TestPauseByPerson(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	must(t, d.PauseByBreaker(ctx, store.BreakerPause{Scope: store.ScopeMerchant, Key: mid, Cause: "502", For: time.Minute, FailedOrderID: 7, FailedMID: mid}))
	d.exec(t, `UPDATE gateway_controls SET probe_until = now() + interval '1 minute'`)
	trace, err := d.PauseByPerson(ctx, pauseOf("li", "maintenance", nil))
	must(t, err)
	d.wantPauses(t, "over the breaker's", "mid "+mid+" li maintenance")
	d.wantIncidents(t, "over the breaker's", "mid 502 breaker li 1, mid maintenance li open 0")
	if got := words(t, trace.Before, "set_by", "reason"); got != "breaker 502" {
		t.Errorf("the pause before was %s", got)
	}
	if got := words(t, trace.After, "set_by", "reason", "paused_until"); got != "li maintenance null" {
		t.Errorf("the pause after is %s", got)
	}

	var paused *store.PausedError
	if _, err := d.PauseByPerson(ctx, pauseOf("wang", "audit", nil)); !errors.As(err, &paused) || paused.Control.SetBy != "li" ||
		paused.Control.Reason != "maintenance" || paused.Control.Key != mid || paused.Control.SetAt.IsZero() || !strings.Contains(err.Error(), "by li since") {
		t.Errorf("over li's pause: %v", err)
	}
	d.wantPauses(t, "after the refusal", "mid "+mid+" li maintenance")
	d.wantActions(t, "li cli pause mid "+mid+" maintenance")

	_, err = d.PauseByPerson(ctx, pauseOf("li", "longer", new(time.Now().Add(time.Hour))))
	must(t, err)
	replace := pauseOf("wang", "audit\x00", nil)
	replace.Replace = true
	trace, err = d.PauseByPerson(ctx, replace)
	must(t, err)
	if got := words(t, trace.Before, "set_by", "reason"); got != "li longer" {
		t.Errorf("the pause before was %s", got)
	}
	d.wantPauses(t, "after the replacement", "mid "+mid+" wang audit\uFFFD")
	d.wantIncidents(t, "after the replacement", "mid 502 breaker li 1, mid maintenance li li 0, mid longer li wang 0, mid audit\uFFFD wang open 0")
	d.wantActions(t, "li cli pause mid "+mid+" maintenance, li cli pause mid "+mid+" longer, wang cli pause mid "+mid+" audit\uFFFD")
	last := d.actions(t, store.ActionFilter{})[0]
	if last.ID != trace.ActionID || words(t, last.Before, "set_by", "reason") != "li longer" || words(t, last.After, "set_by") != "wang" {
		t.Errorf("the action says before %s, after %s", last.Before, last.After)
	}
}

// A pause that is over stands in nobody's way. Its incident ended when it did, by its own end.
func TestPauseByPersonAfterOneThatIsOver(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	_, err := d.PauseByPerson(ctx, pauseOf("li", "maintenance", new(time.Now().Add(time.Hour))))
	must(t, err)
	d.exec(t, `UPDATE gateway_incidents SET opened_at = now() - interval '2 hours'`)
	d.exec(t, `UPDATE gateway_controls SET paused_until = now() - interval '1 hour'`)
	if former, _, err := d.ResumeByPerson(ctx, store.ScopeMerchant, mid, nil, store.Action{Actor: "wang", Via: "cli", Action: "resume"}); err != nil || former != nil {
		t.Errorf("resumed a pause that is over: %+v, %v", former, err)
	}
	trace, err := d.PauseByPerson(ctx, pauseOf("wang", "audit", nil))
	must(t, err)
	if trace.Before != nil {
		t.Errorf("the pause before was %s", trace.Before)
	}
	d.wantPauses(t, "afterwards", "mid "+mid+" wang audit")
	d.wantIncidents(t, "afterwards", "mid maintenance li li 0, mid audit wang open 0")
	if !scan[bool](t, d, `SELECT closed_at < now() - interval '50 minutes' FROM gateway_incidents WHERE id = 1`) {
		t.Error("the incident of the pause that was over did not end with it")
	}
}

// A person ends any pause, with its incident. Where there is none, nothing is recorded.
func TestResumeByPerson(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	resume := store.Action{Actor: "wang", Via: "console", Action: "resume", Reason: "works again"}
	if former, trace, err := d.ResumeByPerson(ctx, store.ScopeMerchant, mid, nil, resume); err != nil || former != nil || trace.ActionID != 0 {
		t.Errorf("resumed %+v, %+v, %v", former, trace, err)
	}
	d.wantActions(t, "")
	must(t, d.PauseByBreaker(ctx, store.BreakerPause{Scope: store.ScopeApp, Key: app, Cause: "502", For: -time.Minute}))
	_, err := d.PauseByPerson(ctx, pauseOf("li", "maintenance", nil))
	must(t, err)
	former, trace, err := d.ResumeByPerson(ctx, store.ScopeMerchant, mid, nil, resume)
	if err != nil || former == nil || former.SetBy != "li" || former.Reason != "maintenance" || former.PausedUntil != nil {
		t.Errorf("resumed %+v, %v", former, err)
	}
	if got := words(t, trace.Before, "set_by", "reason"); got != "li maintenance" || trace.After != nil {
		t.Errorf("before %s, after %s", got, trace.After)
	}
	d.wantPauses(t, "after the first", "app "+app+" breaker 502 until")
	d.wantIncidents(t, "after the first", "app 502 breaker open 1, mid maintenance li wang 0")
	// A breaker's pause that is over stands until its probe is answered.
	if former, _, err := d.ResumeByPerson(ctx, store.ScopeApp, app, nil, resume); err != nil || former == nil || former.SetBy != store.Breaker {
		t.Errorf("resumed %+v, %v", former, err)
	}
	d.wantPauses(t, "after both", "")
	d.wantIncidents(t, "after both", "app 502 breaker wang 1, mid maintenance li wang 0")
	d.wantActions(t, "li cli pause mid "+mid+" maintenance, wang console resume mid "+mid+" works again, wang console resume app "+app+" works again")
}

// Of several people at once one pauses, and the others are told of it. One resumes.
func TestPauseByManyAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	people := []string{"li", "wang", "zhao", "chen"}
	// An INSERT waits for this lock, and a look at the pause does not.
	errs := d.together(t, `LOCK TABLE gateway_controls IN SHARE MODE`, len(people), func(person int) error {
		_, err := d.PauseByPerson(t.Context(), pauseOf(people[person], "maintenance", nil))
		return err
	})
	paused := 0
	for _, err := range errs {
		switch {
		case err == nil:
			paused++
		case !errors.As(err, new(*store.PausedError)) && !isLockTimeout(err):
			t.Error(err)
		}
	}
	var resumed atomic.Int32
	errs = d.together(t, `SELECT FROM gateway_controls FOR UPDATE`, len(people), func(person int) error {
		former, _, err := d.ResumeByPerson(t.Context(), store.ScopeMerchant, mid, nil, store.Action{Actor: people[person], Via: "cli", Action: "resume"})
		if former != nil {
			resumed.Add(1)
		}
		return err
	})
	for _, err := range errs {
		if err != nil && !isLockTimeout(err) {
			t.Error(err)
		}
	}
	if paused != 1 || resumed.Load() != 1 {
		t.Errorf("%d people paused, and %d resumed, want one each", paused, resumed.Load())
	}
	if got := scan[string](t, d, `SELECT concat_ws(' ', (SELECT count(*) FROM gateway_controls), (SELECT count(*) FROM operator_actions),
		count(*), count(closed_at)) FROM gateway_incidents`); got != "0 2 1 1" {
		t.Errorf("pauses, actions, incidents and closed ones: %s", got)
	}
}

// What cannot be recorded as an action is not done.
func TestPauseNeedsItsAction(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	nameless := pauseOf("li", "maintenance", nil)
	nameless.Action.Via = "telegraph"
	if _, err := d.PauseByPerson(ctx, nameless); err == nil {
		t.Error("paused without an action")
	}
	d.wantPauses(t, "without an action", "")
	d.wantIncidents(t, "without an action", "")
	_, err := d.PauseByPerson(ctx, pauseOf("li", "maintenance", nil))
	must(t, err)
	if _, _, err := d.ResumeByPerson(ctx, store.ScopeMerchant, mid, nil, store.Action{Actor: "li", Via: "telegraph", Action: "resume"}); err == nil {
		t.Error("resumed without an action")
	}
	d.wantPauses(t, "after a resume without an action", "mid "+mid+" li maintenance")
	d.wantIncidents(t, "after a resume without an action", "mid maintenance li open 0")
}

func TestHasMerchant(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.insert(t, 2)
	d.exec(t, `UPDATE orders SET mid = $1, status = 'TRADE_SUCCESS' WHERE id = 2`, otherMID)
	for key, want := range map[string]bool{mid: true, otherMID: true, "898340149000001": false, "": false} {
		if got, err := d.HasMerchant(t.Context(), key); err != nil || got != want {
			t.Errorf("HasMerchant(%q) = %t, %v; want %t", key, got, err, want)
		}
	}
}

// Who was shown a pause, or none, changes that one alone.
func TestPauseIsGuardedByWhatWasShown(t *testing.T) {
	t.Parallel()
	d := open(t)
	ctx := t.Context()
	shown := func() *store.ShownPause {
		t.Helper()
		s, err := d.StandingPause(ctx, store.ScopeMerchant, mid)
		must(t, err)
		return s
	}
	resume := func(s *store.ShownPause) error {
		_, _, err := d.ResumeByPerson(ctx, store.ScopeMerchant, mid, s, store.Action{Actor: "wang", Via: "console", Action: "resume"})
		return err
	}
	pause := func(by string, s *store.ShownPause) error {
		p := pauseOf(by, "maintenance", nil)
		p.Shown, p.Replace = s, true
		_, err := d.PauseByPerson(ctx, p)
		return err
	}
	none := shown()
	if none.Control != nil {
		t.Fatalf("shown %+v without a pause", none.Control)
	}
	must(t, pause("li", none))
	first := shown()
	if first.Control == nil || first.Control.SetBy != "li" || first.Control.Reason != "maintenance" {
		t.Fatalf("shown %+v", first.Control)
	}
	d.exec(t, `UPDATE gateway_controls SET set_at = set_at - interval '1 second'`) // made another time
	for what, err := range map[string]error{
		"paused over one that was not shown":         pause("wang", none),
		"paused over another than was shown":         pause("wang", first),
		"resumed another than was shown":             resume(first),
		"resumed one, where none had been shown yet": resume(none),
	} {
		if !errors.Is(err, store.ErrPauseChanged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	d.wantPauses(t, "after the refusals", "mid "+mid+" li maintenance")
	d.wantActions(t, "li cli pause mid "+mid+" maintenance")
	must(t, pause("wang", shown()))
	must(t, resume(shown()))
	d.wantPauses(t, "at the end", "")
}
