package operator

import (
	"encoding/json"
	"slices"
	"time"

	"reconciler/internal/store"
)

// InstanceApp is an app id of a running daemon with its merchants; none: all that no other app lists.
type InstanceApp struct {
	AppID string   `json:"app_id"`
	MIDs  []string `json:"mids,omitempty"`
}

// instanceSettings is the part of instances.settings that is read here.
type instanceSettings struct {
	Apps []InstanceApp `json:"apps"`
}

// appsOf are the apps of the daemon that was seen last.
func appsOf(instances []store.Instance) []InstanceApp {
	for _, i := range instances {
		var settings instanceSettings
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

// pauseOf is the pause that keeps a merchant's orders from being asked. A pause of an app counts for
// every merchant where no daemon tells which merchants the app has.
func pauseOf(pauses []store.Control, apps []InstanceApp, mid string) *store.Control {
	for _, scope := range []store.Scope{store.ScopeMerchant, store.ScopeApp} {
		for i, c := range pauses {
			holds := c.Scope == store.ScopeMerchant && c.Key == mid ||
				c.Scope == store.ScopeApp && (len(apps) == 0 || appOf(apps, mid) == c.Key)
			if c.Scope == scope && holds {
				return &pauses[i]
			}
		}
	}
	return nil
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

// pausesOf counts the orders that each pause holds.
func (l Locale) pausesOf(controls []store.Control, apps []InstanceApp, open []store.OpenMerchant) []Pause {
	list := make([]Pause, len(controls))
	for i, c := range controls {
		list[i] = Pause{
			Scope: c.Scope, Key: c.Key, PausedUntil: l.localOf(c.PausedUntil), Reason: c.Reason, SetBy: c.SetBy, SetAt: l.local(c.SetAt),
		}
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

// target names the app id or the merchant of a pause.
func (l Locale) target(scope store.Scope, key string) string {
	if scope == store.ScopeApp {
		return l.say(msgAppID, key)
	}
	return l.say(msgMerchant, key)
}

// who names the author of a pause.
func (l Locale) who(name string) string {
	if name == store.Breaker {
		return l.say(msgBreaker)
	}
	return name
}

// untilWhen tells when a pause ends.
func (l Locale) untilWhen(t *time.Time) string {
	if t == nil {
		return l.say(msgUntilResumed)
	}
	return l.say(msgUntil, l.stamp(*t))
}

// inWords is a pause in one clause.
func (p Pause) inWords(l Locale) string {
	return l.say(msgPausedBy, l.target(p.Scope, p.Key), l.who(p.SetBy), l.untilWhen(p.PausedUntil), p.Reason)
}
