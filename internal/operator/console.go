package operator

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// OrderName is how a person names an order. This and the other names of the store here let a skin
// do without it.
type OrderName = store.OrderName

// OrderFilter narrows a list of orders.
type OrderFilter = store.OrderFilter

// OrderPage is a part of a list of orders.
type OrderPage = store.OrderPage

// OrderRow is an order in a list.
type OrderRow = store.OrderRow

// ReviewFilter narrows the list of reviews.
type ReviewFilter = store.ReviewFilter

// EventFilter narrows a list of events.
type EventFilter = store.EventFilter

// ActionFilter narrows a list of actions.
type ActionFilter = store.ActionFilter

// IncidentFilter narrows a list of incidents.
type IncidentFilter = store.IncidentFilter

// Correction is what a person may set before an order is asked again.
type Correction = store.Correction

// Scope says what a pause is about.
type Scope = store.Scope

// CodeCount counts the answers with a code.
type CodeCount = store.CodeCount

// MinuteCount counts the answers of a minute.
type MinuteCount = store.MinuteCount

// DayCount counts the outcomes of a day.
type DayCount = store.DayCount

// What the filters and the pauses are about.
const (
	StatusOpen    = store.StatusOpen
	AnyReview     = store.AnyReview
	ScopeApp      = store.ScopeApp
	ScopeMerchant = store.ScopeMerchant
)

// Overview is the status with what is plotted beside it.
type Overview struct {
	Status    Status
	Pauses    []Pause
	Instances []store.Instance
	Review    store.Pile
	OpenAge   [4]AgeBand // youngest first: under 10 min, 1 h, 24 h, older
	Days      []store.DayCount
	Minutes   []store.MinuteCount
	Answers   *store.Answers // nil: they could not be read
	Paused    bool           // something is paused by the breaker
	NoPlots   bool           // the answers by minute and the outcomes by day could not be read
}

// AgeBand is the open money of one age.
type AgeBand struct {
	Orders    int
	AmountFen int64
}

// Overview looks at everything, as Status does.
func (d *Desk) Overview(ctx context.Context) Overview {
	s, f := d.statusWithFigures(ctx)
	o := Overview{Status: s, Instances: d.localInstances(f.instances), Review: f.reviewPile()}
	if f.answersErr == nil && s.Checks[0].State == StateOK {
		o.Answers = &f.answers
	}
	o.Pauses = d.pausesOf(f.controls, appsOf(f.instances), f.open)
	o.Paused = slices.ContainsFunc(o.Pauses, func(p Pause) bool { return p.SetBy == store.Breaker })
	for _, m := range f.open {
		for i, band := range [4]AgeBand{{m.Under10m, m.AmountUnder10m}, {m.Under1h, m.AmountUnder1h}, {m.Under24h, m.AmountUnder24h}, {m.Older, m.AmountOlder}} {
			o.OpenAge[i].Orders += band.Orders
			o.OpenAge[i].AmountFen += band.AmountFen
		}
	}
	if o.NoPlots = f.tooSlow != nil || o.Answers == nil; o.NoPlots {
		return o
	}
	var err error
	o.Days = f.learned.Days
	o.Minutes, _, err = d.Store.AnswersByMinute(ctx)
	o.NoPlots = err != nil
	return o
}

func (l Locale) localInstances(list []store.Instance) []store.Instance {
	for i := range list {
		list[i].SeenAt, list[i].StartedAt, list[i].LastPassAt = l.localTime(list[i].SeenAt), l.localTime(list[i].StartedAt), l.localOf(list[i].LastPassAt)
	}
	return list
}

// Gateway is what is known of the gateway: apps, budgets, pauses, incidents and answers.
type Gateway struct {
	At        time.Time
	Apps      []AppUse
	Pauses    []Pause
	Incidents []Incident
	Answers   store.Answers
	Minutes   []store.MinuteCount
}

// AppUse is an app id and how much of its budget was used in the last minute.
type AppUse struct {
	InstanceApp

	Rate   float64 // round trips a second; 0: no limit
	Used   float64 // of them, in the last minute
	Paused *Pause
}

// Share is the used part of the budget, from 0 to 1.
func (a AppUse) Share() float64 {
	if a.Rate <= 0 {
		return 0
	}
	return min(1, a.Used/a.Rate)
}

// Gateway tells about the gateway.
func (d *Desk) Gateway(ctx context.Context) (g Gateway, err error) {
	if g.At, err = d.Store.Now(ctx); err != nil {
		return g, err
	}
	controls, err := d.Store.Controls(ctx)
	if err != nil {
		return g, err
	}
	instances, err := d.Store.Instances(ctx)
	if err != nil {
		return g, err
	}
	open, err := d.Store.OpenMerchants(ctx)
	if err != nil {
		return g, err
	}
	incidents, err := d.Store.Incidents(ctx, IncidentFilter{Since: new(g.At.Add(-lately)), Limit: 200})
	if err != nil {
		return g, err
	}
	if g.Answers, err = d.Store.LatestAnswers(ctx); err != nil {
		return g, err
	}
	minutes, loads, err := d.Store.AnswersByMinute(ctx)
	apps := appsOf(instances)
	g.Pauses, g.Incidents, g.Minutes = d.pausesOf(controls, apps, open), d.incidentsOf(incidents), minutes
	g.Apps = d.appUses(apps, instances, loads, g.Pauses)
	return g, err
}

func (d *Desk) appUses(apps []InstanceApp, instances []store.Instance, loads []store.Load, pauses []Pause) []AppUse {
	rate := d.Rate
	for _, i := range instances {
		if r, known := rateOf(i); known {
			rate = r
			break
		}
	}
	list := make([]AppUse, len(apps))
	for i, app := range apps {
		list[i] = AppUse{InstanceApp: app, Rate: rate}
		for _, load := range loads {
			if appOf(apps, load.MID) == app.AppID {
				list[i].Used += float64(load.RoundTrips) / 60
			}
		}
		for j, p := range pauses {
			if p.Scope == store.ScopeApp && p.Key == app.AppID {
				list[i].Paused = &pauses[j]
			}
		}
	}
	return list
}

// rateOf is the rate that a daemon runs with.
func rateOf(i store.Instance) (float64, bool) {
	var settings struct {
		Rate string `json:"RECONCILER_RATE"`
	}
	if json.Unmarshal(i.Settings, &settings) != nil {
		return 0, false
	}
	rate, err := strconv.ParseFloat(settings.Rate, 64)
	return rate, err == nil
}

// Orders lists orders, the latest first.
func (d *Desk) Orders(ctx context.Context, f OrderFilter) (OrderPage, error) {
	p, err := d.Store.Orders(ctx, f)
	for i, o := range p.Orders {
		p.Orders[i].CreatedAt, p.Orders[i].NextQueryAt = d.localTime(o.CreatedAt), d.localOf(o.NextQueryAt)
		p.Orders[i].LastQueriedAt, p.Orders[i].SettledAt = d.localOf(o.LastQueriedAt), d.localOf(o.SettledAt)
	}
	p.WalkedTo = d.localOf(p.WalkedTo)
	return p, err
}

// Found is an order that a search found.
type Found struct {
	ID            int64
	MID           string
	MerOrderID    string
	TargetOrderID string
	OrderAmount   int64 // fen
	Outcome       Outcome
	CreatedAt     time.Time
}

// Find looks for orders by any number that a person may have, the latest first. It finds at most
// 20.
func (d *Desk) Find(ctx context.Context, name OrderName) ([]Found, error) {
	rows, err := d.Store.FindOrders(ctx, name, nil)
	list := make([]Found, len(rows))
	for i, o := range rows {
		list[i] = Found{
			ID: o.ID, MID: o.MID, MerOrderID: o.MerOrderID, TargetOrderID: o.TargetOrderID, OrderAmount: o.OrderAmount,
			Outcome: OutcomeOf(o.Status, o.ReviewReason), CreatedAt: d.localTime(o.CreatedAt),
		}
	}
	return list, err
}

// EventPage is a part of a list of events, the latest first.
type EventPage struct {
	Events   []Event
	Below    int64      // where the next page begins; 0: there is none
	WalkedTo *time.Time // when the last event was written that was looked at, where the page ended early
}

// EventPage lists events page by page.
func (d *Desk) EventPage(ctx context.Context, f EventFilter) (EventPage, error) {
	p, err := d.Store.EventPage(ctx, f)
	return EventPage{d.eventsOf(p.Events), p.Below, d.localOf(p.WalkedTo)}, err
}

// Consumers are those who read the events.
type Consumers struct {
	Consumers []store.Unread
	SetAside  int
}

// Consumers tells how far the events were read.
func (d *Desk) Consumers(ctx context.Context) (Consumers, error) {
	list, setAside, err := d.Store.UnreadEvents(ctx)
	for i, c := range list {
		list[i].Oldest, list[i].SeenAt = d.localOf(c.Oldest), d.localTime(c.SeenAt)
	}
	return Consumers{list, setAside}, err
}

// Facts are what the head of an order's page says.
type Facts struct {
	ID            int64
	MID, TID      string
	MerOrderID    string
	TargetOrderID string
	OrderAmount   int64 // fen
	Status        order.Status
	ReviewReason  string
	ReviewNote    string
	CreatedAt     time.Time
	ExpiresAt     time.Time
	At            time.Time // now
	Resolvable    bool      // a person may settle it
	Retriable     bool      // a person may have it asked again
	Questions     int
}

// Facts are what the head of the order's page says.
func (w Why) Facts(l Locale) Facts {
	o := w.detail
	flying := o.LeaseUntil != nil
	questions := 0
	for _, m := range w.Story {
		if m.LedgerRow != nil {
			questions++
		}
	}
	return Facts{
		ID: o.ID, MID: o.MID, TID: o.TID, MerOrderID: o.MerOrderID, TargetOrderID: o.TargetOrderID, OrderAmount: o.OrderAmount,
		Status: o.Status, ReviewReason: o.ReviewReason, ReviewNote: o.ReviewNote,
		CreatedAt: l.localTime(o.CreatedAt), ExpiresAt: l.localTime(o.ExpiresAt), At: l.localTime(w.at), Questions: questions,
		Resolvable: !flying && (!o.Status.Settled() || o.ReviewReason == order.ReviewConflict),
		Retriable:  !flying && !o.Status.Settled() && o.ReviewReason != "",
	}
}

// IsTooSlow reports whether the database gave up because a statement took too long.
func IsTooSlow(err error) bool {
	return store.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded)
}

// IsUnavailable reports whether the database could not be asked.
func IsUnavailable(err error) bool { return store.IsUnavailable(err) }
