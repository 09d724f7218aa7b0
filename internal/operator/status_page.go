package operator

import (
	"fmt"
	"time"
)

// Page is the text of the status. A maxRows above 0 bounds the table of open money and the list of
// incidents, so that the verdict stays on the screen.
func (s Status) Page(l Locale, maxRows int) Page {
	var p Page
	verdict, tone := l.Verdict(s.Verdict)
	p.addLine(tone, fmt.Sprintf("%s  %s  %s (%s)", verdict, l.VerdictSummary(s), l.Stamp(s.At), l.ZoneName(s.At)))
	p.addBlank()
	for _, c := range s.Checks {
		word, tone := l.State(c.State)
		p.Rows = append(p.Rows, Row{{Text: l.CheckName(c.Name)}, {Text: word, Tone: tone}, {Text: c.Detail}})
	}
	p.addBlank()
	s.openTable(l, &p, maxRows)
	if len(s.Learned) > 0 {
		p.addBlank()
		s.learnedTable(l, &p)
	}
	if len(s.Incidents) > 0 {
		p.addBlank()
		p.addLine(Strong, l.say(msgIncidents))
		shown := s.Incidents
		if maxRows > 0 {
			shown = shown[:min(maxRows, len(shown))]
		}
		incidentRows(l, &p, shown)
		if left := len(s.Incidents) - len(shown); left > 0 {
			p.addLine(Plain, l.say(msgMoreIncidents, FormatCount(left)))
		}
	}
	return p
}

// VerdictSummary says how many checks need a person.
func (l Locale) VerdictSummary(s Status) string {
	wrong := 0
	for _, c := range s.Checks {
		if c.State == StateAttention || c.State == StateCritical {
			wrong++
		}
	}
	switch wrong {
	case 0:
		return l.say(msgVerdictAll, len(s.Checks))
	case 1:
		return l.say(msgVerdictOne, len(s.Checks))
	}
	return l.say(msgVerdictSome, wrong, len(s.Checks))
}

func (s Status) openTable(l Locale, p *Page, maxRows int) {
	switch {
	case s.Unread:
		p.addLine(Warning, l.say(msgOpenUnread))
		return
	case len(s.Open) == 0:
		p.addLine(Plain, l.say(msgNothingOpen))
		return
	}
	p.addHeading(l.say(msgOpenMoney), l.say(msgUnder10m), l.say(msgUnder1h), l.say(msgUnder24h), l.say(msgOlder), l.say(msgOrders), l.say(msgAmount))
	rows := 1
	var all OpenMerchant
	add := func(name string, m OpenMerchant) {
		p.addRow(name, FormatCount(m.ByAge.Under10m), FormatCount(m.ByAge.Under1h), FormatCount(m.ByAge.Under24h), FormatCount(m.ByAge.Older), FormatCount(m.Orders), Yuan(m.AmountFen))
		rows++
	}
	left := 0
	for i, m := range s.Open {
		all.Orders, all.AmountFen = all.Orders+m.Orders, all.AmountFen+m.AmountFen
		all.ByAge.Under10m, all.ByAge.Under1h = all.ByAge.Under10m+m.ByAge.Under10m, all.ByAge.Under1h+m.ByAge.Under1h
		all.ByAge.Under24h, all.ByAge.Older = all.ByAge.Under24h+m.ByAge.Under24h, all.ByAge.Older+m.ByAge.Older
		if maxRows > 0 && i >= maxRows {
			left++
			continue
		}
		name := m.MID
		if m.Paused {
			name = l.say(msgPausedMark, m.MID)
		}
		add(name, m)
	}
	add(l.say(msgTotal), all)
	p.alignRight(rows, 1, 2, 3, 4, 5, 6)
	if left > 0 {
		p.addLine(Plain, l.say(msgMoreMerchants, FormatCount(left)))
	}
}

func (s Status) learnedTable(l Locale, p *Page) {
	total := 0
	for _, row := range s.Learned {
		total += row.Orders
	}
	p.addLine(Strong, l.say(msgLearned, FormatCount(total)))
	for _, row := range s.Learned {
		p.addRow("  "+l.Outcome(OutcomeOf(row.Status, "")), FormatCount(row.Orders), Yuan(row.AmountFen))
	}
	p.alignRight(len(s.Learned), 1, 2)
	if s.After.P50 != nil {
		p.addLine(Plain, "  "+l.say(msgLearnedAfter, l.Age(toDuration(*s.After.P50)), l.Age(toDuration(*s.After.P95))))
	}
}

func toDuration(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Verdict is the verdict of status in one word, with its tone.
func (l Locale) Verdict(s State) (string, Tone) {
	switch s {
	case StateCritical:
		return l.say(msgVerdictCritical), Bad
	case StateAttention:
		return l.say(msgVerdictAttention), Warning
	}
	return l.say(msgVerdictOK), Good
}

// State is the state of a check in one word, with its tone.
func (l Locale) State(s State) (string, Tone) {
	switch s {
	case StateNote:
		return l.say(msgStateNote), Notice
	case StateAttention:
		return l.say(msgStateAttention), Warning
	case StateWarn:
		return l.say(msgStateWarn), Warning
	case StateCritical:
		return l.say(msgStateCritical), Bad
	case StateFail:
		return l.say(msgStateFail), Bad
	}
	return l.say(msgStateOK), Good
}

// CheckName is the name of a check of status.
func (l Locale) CheckName(name string) string {
	return l.say(map[string]message{
		"database": msgCheckDatabase, "schema": msgCheckSchema, "instances": msgCheckInstances, "passes": msgCheckPasses,
		"writing": msgCheckWriting, "gateway": msgCheckGateway, "overdue": msgCheckOverdue, "paused": msgCheckPaused,
		"review": msgCheckReview, "events": msgCheckEvents,
	}[name])
}
