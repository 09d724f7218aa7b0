package operator

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"reconciler/internal/store"
)

// Event is what the application was to be told, and what became of its delivery by HTTP.
type Event struct {
	ID          int64           `json:"id"`
	OrderID     int64           `json:"order_id"`
	MID         string          `json:"mid"`
	MerOrderID  *string         `json:"mer_order_id"`
	Event       string          `json:"event"`
	CreatedAt   time.Time       `json:"created_at"`
	State       string          `json:"state"` // delivered, set_aside, failing, waiting, not_sent
	Attempts    int             `json:"attempts"`
	NextAt      *time.Time      `json:"next_at"`
	LastAt      *time.Time      `json:"last_at"`
	LastStatus  *int            `json:"last_status"`
	LastAnswer  *string         `json:"last_answer"`
	DeliveredAt *time.Time      `json:"delivered_at"`
	SetAsideAt  *time.Time      `json:"set_aside_at"`
	Payload     json.RawMessage `json:"payload"`
}

// Events is a list of them, the latest first.
type Events struct {
	Events []Event `json:"events"`
}

// Events lists what the application was told.
func (d *Desk) Events(ctx context.Context, f store.EventFilter) (Events, error) {
	rows, err := d.Store.Events(ctx, f)
	return Events{d.eventsOf(rows)}, err
}

func (l Locale) eventsOf(rows []store.EventDelivery) []Event {
	list := make([]Event, len(rows))
	for i, r := range rows {
		list[i] = Event{
			ID: r.ID, OrderID: r.OrderID, MID: r.MID, MerOrderID: r.MerOrderID, Event: r.Event, CreatedAt: l.localTime(r.CreatedAt),
			State: r.State, Attempts: r.Attempts, NextAt: l.localOf(r.NextAt), LastAt: l.localOf(r.LastAt), LastStatus: r.LastStatus,
			LastAnswer: r.LastAnswer, DeliveredAt: l.localOf(r.DeliveredAt), SetAsideAt: l.localOf(r.SetAsideAt), Payload: r.Payload,
		}
	}
	return list
}

// Page is the list as a table.
func (e Events) Page(l Locale) Page {
	var p Page
	if len(e.Events) == 0 {
		p.addLine(Plain, l.say(msgNoEvents))
		return p
	}
	p.addLine(Plain, l.say(msgZone, l.ZoneName(e.Events[0].CreatedAt)))
	p.addHeading("ID", l.say(msgColEvent), l.say(msgColEventOrder), l.say(msgColMerchant), l.say(msgColWritten), l.say(msgColDelivery), l.say(msgColLastAnswer))
	for _, event := range e.Events {
		number, last := "#"+formatInt(event.OrderID), ""
		if event.MerOrderID != nil {
			number = *event.MerOrderID
		}
		if event.LastStatus != nil {
			last = strconv.Itoa(*event.LastStatus)
		}
		if event.LastAnswer != nil {
			last += " " + *event.LastAnswer
		}
		p.addRow(formatInt(event.ID), event.Event, number, event.MID, l.Stamp(event.CreatedAt), l.Delivery(event), last)
	}
	return p
}

// Delivery is the state of an event in words.
func (l Locale) Delivery(e Event) string {
	switch {
	case e.DeliveredAt != nil:
		return l.say(msgDelivered, l.Stamp(*e.DeliveredAt))
	case e.SetAsideAt != nil:
		return l.say(msgSetAsideAt, l.Stamp(*e.SetAsideAt), e.Attempts)
	case e.State == "failing" && e.NextAt != nil:
		return l.say(msgFailing, e.Attempts, l.Stamp(*e.NextAt))
	case e.State == "waiting":
		return l.say(msgWaitsForDelivery)
	}
	return l.say(msgNotSent)
}

// Resent is what events resend did.
type Resent struct {
	Resent int `json:"resent"`
}

// Resend lets the daemon deliver events again. The action is recorded.
func (d *Desk) Resend(ctx context.Context, f store.EventFilter, reason string) (Resent, error) {
	n, err := d.Store.ResendEvents(ctx, f, d.newAction("events resend", reason))
	return Resent{n}, err
}

// Page is the sentence about it.
func (r Resent) Page(l Locale) Page {
	var p Page
	p.addLine(Plain, l.say(msgResent, r.Resent))
	return p
}
