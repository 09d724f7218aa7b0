package operator

import (
	"context"
	"time"

	"reconciler/internal/store"
)

// Incident is the history of one pause.
type Incident struct {
	ID            int64       `json:"id"`
	Scope         store.Scope `json:"scope"`
	Key           string      `json:"key"`
	OpenedAt      time.Time   `json:"opened_at"`
	ClosedAt      *time.Time  `json:"closed_at"` // null: it goes on
	Cause         string      `json:"cause"`
	OpenedBy      string      `json:"opened_by"`
	ClosedBy      *string     `json:"closed_by"`
	QuestionsLost int64       `json:"questions_lost"`
}

// Incidents is a list of them, the latest first.
type Incidents struct {
	Incidents []Incident `json:"incidents"`
}

// Incidents lists the pauses of the past and those that go on.
func (d *Desk) Incidents(ctx context.Context, f store.IncidentFilter) (Incidents, error) {
	list, err := d.Store.Incidents(ctx, f)
	return Incidents{d.incidentsOf(list)}, err
}

func (l Locale) incidentsOf(rows []store.Incident) []Incident {
	list := make([]Incident, len(rows))
	for i, r := range rows {
		list[i] = Incident{
			ID: r.ID, Scope: r.Scope, Key: r.Key, OpenedAt: l.localTime(r.OpenedAt), ClosedAt: l.localOf(r.ClosedAt),
			Cause: r.Cause, OpenedBy: r.OpenedBy, ClosedBy: nullText(r.ClosedBy), QuestionsLost: r.QuestionsLost,
		}
	}
	return list
}

func nullText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Page is the list as a table.
func (i Incidents) Page(l Locale) Page {
	var p Page
	if len(i.Incidents) == 0 {
		p.addLine(Plain, l.say(msgNoIncidents))
		return p
	}
	p.addLine(Plain, l.say(msgZone, l.ZoneName(i.Incidents[0].OpenedAt)))
	p.addHeading(l.say(msgColOpened), l.say(msgColClosed), l.say(msgColWhat), l.say(msgColDuration), l.say(msgColLost), l.say(msgColBy), l.say(msgColCause))
	incidentRows(l, &p, i.Incidents)
	return p
}

func incidentRows(l Locale, p *Page, list []Incident) {
	for _, i := range list {
		closed, lasted, by := l.say(msgGoesOn), l.Age(time.Since(i.OpenedAt)), l.PersonName(i.OpenedBy)
		if i.ClosedAt != nil {
			closed, lasted = l.Stamp(*i.ClosedAt), l.Age(i.ClosedAt.Sub(i.OpenedAt))
		}
		if i.ClosedBy != nil && *i.ClosedBy != i.OpenedBy {
			by += " / " + l.PersonName(*i.ClosedBy)
		}
		p.addRow(l.Stamp(i.OpenedAt), closed, l.Target(i.Scope, i.Key), lasted, l.questionsLost(i.QuestionsLost), by, i.Cause)
	}
}

// questionsLost is a number of questions that brought no answer, in words.
func (l Locale) questionsLost(questions int64) string {
	if questions == 1 {
		return l.say(msgQuestionLost)
	}
	return l.say(msgManyLost, FormatCount(questions))
}
