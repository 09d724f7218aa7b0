package operator

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"reconciler/internal/store"
)

// InstanceApp is an app id of a running daemon with its merchants; none: all that no other app
// lists.
type InstanceApp struct {
	AppID string   `json:"app_id"`
	MIDs  []string `json:"mids,omitempty"`
}

// appsOf are the apps of the daemon that was seen last.
func appsOf(instances []store.Instance) []InstanceApp {
	for _, i := range instances {
		var settings struct {
			Apps []InstanceApp `json:"apps"`
		}
		if json.Unmarshal(i.Settings, &settings) == nil && len(settings.Apps) > 0 {
			return settings.Apps
		}
	}
	return nil
}

// appOf is the app id that asks about a merchant; "" where none is known.
func appOf(apps []InstanceApp, mid string) string {
	for _, app := range apps {
		if slices.Contains(app.MIDs, mid) {
			return app.AppID
		}
	}
	for _, app := range apps {
		if len(app.MIDs) == 0 {
			return app.AppID
		}
	}
	return ""
}

// pauseOf is the pause that keeps a merchant's orders from being asked.
func pauseOf(pauses []store.Control, apps []InstanceApp, mid string) *store.Control {
	for _, scope := range []store.Scope{store.ScopeMerchant, store.ScopeApp} {
		for i, c := range pauses {
			if c.Scope == scope && holdsMerchant(c, apps, mid) {
				return &pauses[i]
			}
		}
	}
	return nil
}

// holdsMerchant reports whether a pause is about a merchant. A pause of an app counts for every
// merchant where no daemon tells which merchants the app has.
func holdsMerchant(c store.Control, apps []InstanceApp, mid string) bool {
	return c.Scope == store.ScopeMerchant && c.Key == mid ||
		c.Scope == store.ScopeApp && (len(apps) == 0 || appOf(apps, mid) == c.Key)
}

// heldUntil is the end of the last pause that held a merchant's orders; zero: none waits for its
// probe.
func heldUntil(halfOpen []store.Control, apps []InstanceApp, mid string) (end time.Time) {
	for _, c := range halfOpen {
		if holdsMerchant(c, apps, mid) && c.PausedUntil != nil && c.PausedUntil.After(end) {
			end = *c.PausedUntil
		}
	}
	return end
}

// Pause is a pause in force.
type Pause struct {
	Scope       store.Scope `json:"scope"`
	Key         string      `json:"key"`
	PausedUntil *time.Time  `json:"paused_until"` // null: until somebody resumes
	Reason      string      `json:"reason"`
	SetBy       string      `json:"set_by"`
	SetAt       time.Time   `json:"set_at"`
	Orders      int         `json:"orders"`     // unresolved orders that wait for it
	AmountFen   int64       `json:"amount_fen"` // of them
}

func (l Locale) newPause(c store.Control) Pause {
	return Pause{
		Scope: c.Scope, Key: c.Key, PausedUntil: l.localOf(c.PausedUntil), Reason: c.Reason, SetBy: c.SetBy, SetAt: l.localTime(c.SetAt),
	}
}

// pausesOf counts the orders that each pause holds.
func (l Locale) pausesOf(controls []store.Control, apps []InstanceApp, open []store.OpenMerchant) []Pause {
	list := make([]Pause, len(controls))
	for i, c := range controls {
		list[i] = l.newPause(c)
	}
	for _, m := range open {
		held := pauseOf(controls, apps, m.MID)
		for i := range list {
			if held != nil && list[i].Scope == held.Scope && list[i].Key == held.Key {
				list[i].Orders += m.Waiting
				list[i].AmountFen += m.WaitingAmount
			}
		}
	}
	return list
}

// Target names the app id or the merchant of a pause.
func (l Locale) Target(scope store.Scope, key string) string {
	if scope == store.ScopeApp {
		return l.say(msgAppID, key)
	}
	return l.say(msgMerchant, key)
}

// PersonName names the author of a pause.
func (l Locale) PersonName(name string) string {
	if name == store.Breaker {
		return l.say(msgBreaker)
	}
	return name
}

// UntilWhen tells when a pause ends.
func (l Locale) UntilWhen(t *time.Time) string {
	if t == nil {
		return l.say(msgUntilResumed)
	}
	return l.say(msgUntil, l.Stamp(*t))
}

// inWords is a pause in one clause.
func (p Pause) inWords(l Locale) string {
	return l.say(msgPausedBy, l.Target(p.Scope, p.Key), l.PersonName(p.SetBy), l.UntilWhen(p.PausedUntil), p.Reason)
}

// Pauses is the list of the pauses in force.
type Pauses struct {
	Pauses []Pause `json:"pauses"`
}

// Pauses lists the pauses in force, with the orders that wait for each.
func (d *Desk) Pauses(ctx context.Context) (Pauses, error) {
	controls, err := d.Store.Controls(ctx)
	if err != nil {
		return Pauses{}, err
	}
	list, err := d.countHeld(ctx, controls)
	return Pauses{list}, err
}

// countHeld makes pauses of controls, with the orders that each holds.
func (d *Desk) countHeld(ctx context.Context, controls []store.Control) ([]Pause, error) {
	if len(controls) == 0 {
		return []Pause{}, nil // most runs: nothing to count
	}
	instances, err := d.Store.Instances(ctx)
	if err != nil {
		return nil, err
	}
	open, err := d.Store.OpenMerchants(ctx)
	return d.pausesOf(controls, appsOf(instances), open), err
}

// Page is the list as a table.
func (p Pauses) Page(l Locale) Page {
	var page Page
	if len(p.Pauses) == 0 {
		page.addLine(Good, l.say(msgPausedNone))
		return page
	}
	page.addLine(Plain, l.say(msgZone, l.ZoneName(p.Pauses[0].SetAt)))
	page.addHeading(l.say(msgColWhat), l.say(msgColSince), l.say(msgColUntil), l.say(msgColBy), l.say(msgOrders), l.say(msgAmount), l.say(msgColReason))
	for _, pause := range p.Pauses {
		until := l.say(msgUntilResumed)
		if pause.PausedUntil != nil {
			until = l.Stamp(*pause.PausedUntil)
		}
		page.addRow(l.Target(pause.Scope, pause.Key), l.Stamp(pause.SetAt), until, l.PersonName(pause.SetBy), FormatCount(pause.Orders), Yuan(pause.AmountFen), pause.Reason)
	}
	page.alignRight(len(p.Pauses)+1, 4, 5)
	return page
}
