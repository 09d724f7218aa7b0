package operator

import (
	"errors"
	"slices"
	"strings"
	"time"

	"reconciler/internal/store"
)

// addCheck adds a check.
func (s *Status) addCheck(name string, state State, detail string) {
	s.Checks = append(s.Checks, Check{Name: name, State: state, Detail: detail})
}

// addFailure adds a check about what cannot be read, and reports whether it did.
func (d *Desk) addFailure(s *Status, name string, err error) bool {
	if err != nil {
		s.addCheck(name, StateAttention, d.say(msgCannotBeRead, err))
	}
	return err != nil
}

// checkNames are in the order of the page.
func checkNames() []string {
	return []string{"database", "schema", "instances", "passes", "writing", "gateway", "overdue", "paused", "review", "events"}
}

// withoutFigures fills in the checks that could not be made.
func (s Status) withoutFigures(l Locale) Status {
	for _, name := range checkNames()[len(s.Checks):] {
		s.addCheck(name, StateNote, l.say(msgNotLookedAt))
	}
	s.judgeChecks()
	s.Unread = true
	return s
}

// judgeChecks sets the verdict to the worst state.
func (s *Status) judgeChecks() {
	s.Verdict = StateOK
	for _, c := range s.Checks {
		if c.State == StateCritical || (c.State == StateAttention && s.Verdict == StateOK) {
			s.Verdict = c.State
		}
	}
}

func (d *Desk) checkInstances(s *Status, f figures) {
	if d.addFailure(s, "instances", f.instancesErr) {
		s.addCheck("passes", StateNote, d.say(msgNotLookedAt))
		s.addCheck("writing", StateNote, d.say(msgNotLookedAt))
		return
	}
	var alive []store.Instance
	var seen, versions []string
	for _, i := range f.instances {
		if f.now.Sub(i.SeenAt) > seenWithin {
			continue
		}
		alive = append(alive, i)
		seen = append(seen, d.say(msgInstanceSeen, i.Worker, i.Version, d.Age(f.now.Sub(i.SeenAt))))
		if !slices.Contains(versions, i.Version) {
			versions = append(versions, i.Version)
		}
	}
	switch {
	case len(alive) > 0 && len(versions) > 1:
		s.addCheck("instances", StateNote, d.say(msgInstancesAlive, len(alive), strings.Join(seen, ", "))+"; "+d.say(msgVersionsDiffer))
	case len(alive) > 0:
		s.addCheck("instances", StateOK, d.say(msgInstancesAlive, len(alive), strings.Join(seen, ", ")))
	case len(f.instances) > 0:
		last := f.instances[0]
		s.addCheck("instances", StateCritical, d.say(msgInstancesDead, last.Worker, d.Age(f.now.Sub(last.SeenAt))))
	default:
		s.addCheck("instances", StateCritical, d.say(msgInstancesNone))
	}
	state, detail := d.judgePasses(alive, f)
	s.addCheck("passes", state, detail)
	d.checkWriting(s, alive)
}

// judgePasses judges the time of the last pass. A long pass counts while it asks.
func (d *Desk) judgePasses(alive []store.Instance, f figures) (State, string) {
	if len(alive) == 0 {
		return StateCritical, d.say(msgPassNobody)
	}
	started := alive[0].StartedAt
	var last time.Time
	for _, i := range alive {
		if i.StartedAt.Before(started) {
			started = i.StartedAt
		}
		if i.LastPassAt != nil && i.LastPassAt.After(last) {
			last = *i.LastPassAt
		}
	}
	quiet := f.now.Sub(last)
	switch asked := f.answers.Newest; {
	case !last.IsZero() && quiet <= maxPassAge:
		return StateOK, d.say(msgPassEnded, d.Age(quiet))
	case asked != nil && f.now.Sub(*asked) <= maxPassAge:
		return StateOK, d.say(msgPassGoesOn, d.Age(f.now.Sub(*asked)))
	case last.IsZero() && f.now.Sub(started) <= maxPassAge:
		return StateOK, d.say(msgPassNotYet, d.Age(f.now.Sub(started)))
	case last.IsZero():
		quiet = f.now.Sub(started)
	}
	return StateCritical, d.say(msgPassTooOld, d.Age(quiet))
}

func (d *Desk) checkWriting(s *Status, alive []store.Instance) {
	var troubles []string
	for _, i := range alive {
		if i.Trouble != "" {
			troubles = append(troubles, d.say(msgWritingFails, i.Worker, i.Trouble))
		}
	}
	if len(troubles) > 0 {
		s.addCheck("writing", StateCritical, strings.Join(troubles, "; "))
		return
	}
	s.addCheck("writing", StateOK, d.say(msgWritingWell))
}

// checkGateway looks at the breaker. A pause of its own without an incident counts as one.
func (d *Desk) checkGateway(s *Status, f figures) {
	if d.addFailure(s, "gateway", errors.Join(f.answersErr, f.controlsErr)) {
		return
	}
	paused := make(map[string]string)
	for _, c := range f.controls {
		if c.SetBy == store.Breaker {
			paused[string(c.Scope)+c.Key] = d.say(msgGatewayPaused, d.Target(c.Scope, c.Key), d.Stamp(c.SetAt), c.Reason)
		}
	}
	for _, i := range f.incidents {
		if i.OpenedBy == store.Breaker && i.ClosedAt == nil {
			paused[string(i.Scope)+i.Key] = d.say(msgGatewayPaused, d.Target(i.Scope, i.Key), d.Stamp(i.OpenedAt), i.Cause)
		}
	}
	detail := d.answersInWords(f.answers)
	if len(paused) == 0 {
		s.addCheck("gateway", StateOK, detail)
		return
	}
	var list []string
	for _, text := range paused {
		list = append(list, text)
	}
	slices.Sort(list)
	s.addCheck("gateway", StateAttention, strings.Join(append(list, detail), "; "))
}

func (l Locale) answersInWords(a store.Answers) string {
	if a.Questions == 0 {
		return l.say(msgGatewaySilent)
	}
	return l.say(msgGatewayAnswers, 100*float64(a.Answered)/float64(a.Questions), FormatCount(a.Questions), a.P95)
}

func (d *Desk) checkOverdue(s *Status, f figures) {
	if d.addFailure(s, "overdue", errors.Join(f.openErr, f.controlsErr)) {
		return
	}
	apps := appsOf(f.instances)
	overdue, longest := 0, time.Duration(0)
	for _, m := range f.open {
		if m.Overdue == 0 || pauseOf(f.controls, apps, m.MID) != nil {
			continue
		}
		overdue += m.Overdue
		if m.DueSince != nil { // a pause of the breaker held them until then, and waits for its probe
			longest = max(longest, min(f.now.Sub(*m.DueSince), f.now.Sub(heldUntil(f.halfOpen, apps, m.MID))))
		}
	}
	state, detail := StateOK, d.say(msgOverdueNone)
	if overdue > 0 {
		detail = d.say(msgOverdueSome, d.CountOrders(overdue), d.Age(longest))
	}
	if longest > maxOverdue {
		state = StateCritical
	}
	s.addCheck("overdue", state, detail)
}

// checkPaused tells what people have paused. What the breaker has is the gateway's check.
func (d *Desk) checkPaused(s *Status, f figures) {
	if d.addFailure(s, "paused", errors.Join(f.openErr, f.controlsErr)) {
		return
	}
	var held []string
	for _, p := range d.pausesOf(f.controls, appsOf(f.instances), f.open) {
		if p.SetBy != store.Breaker {
			held = append(held, d.say(msgPausedWaiting, p.inWords(d.Locale), d.CountOrders(p.Orders), Yuan(p.AmountFen)))
		}
	}
	if len(held) == 0 {
		s.addCheck("paused", StateOK, d.say(msgPausedByNone))
		return
	}
	s.addCheck("paused", StateNote, strings.Join(held, "; "))
}

func (d *Desk) checkReview(s *Status, f figures) {
	if d.addFailure(s, "review", f.reviewErr) {
		return
	}
	all := f.reviewPile()
	if all.Orders == 0 {
		s.addCheck("review", StateOK, d.say(msgReviewNone))
		return
	}
	s.addCheck("review", StateAttention, d.say(msgReviewSome, d.CountOrders(all.Orders), Yuan(all.Amount), d.Age(all.Oldest)))
}

func (d *Desk) checkEvents(s *Status, f figures) {
	if d.addFailure(s, "events", f.unreadErr) {
		return
	}
	var unread []string
	for _, u := range f.unread {
		if u.Oldest != nil && f.now.Sub(*u.Oldest) > maxUnread {
			unread = append(unread, d.say(msgEventsUnread, u.Consumer, d.Age(f.now.Sub(*u.Oldest))))
		}
	}
	if f.setAside > 0 {
		unread = append(unread, d.say(msgEventsAside, FormatCount(f.setAside)))
	}
	switch {
	case len(unread) > 0:
		s.addCheck("events", StateAttention, strings.Join(unread, "; "))
	case len(f.unread) == 0:
		s.addCheck("events", StateOK, d.say(msgEventsNobody))
	default:
		s.addCheck("events", StateOK, d.say(msgEventsRead, len(f.unread)))
	}
}
