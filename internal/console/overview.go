package console

import (
	"net/http"
	"slices"
	"time"

	"reconciler/internal/operator"
)

// tag is a state in word and shape.
type tag struct{ Name, Word, Tone, Detail string }

// maxMerchants bounds the table of open money.
const maxMerchants = 20

type overviewPage struct {
	O                             operator.Overview
	Verdict, Summary, Tone        string
	Checks                        []tag
	Bands                         []band
	Minutes, Days                 columns
	Open                          []operator.OpenMerchant
	Incidents                     []operator.Incident
	MoreMerchants                 int
	OpenOrders                    int
	OpenAmount                    int64
	LearnedOrders                 int
	LearnedWords, Answered, Speed string
}

func (c *Console) showOverview(v *visit) error {
	o := v.desk().Overview(v.ctx())
	p := overviewPage{O: o, Summary: v.VerdictSummary(o.Status)}
	var tone operator.Tone
	p.Verdict, tone = v.Verdict(o.Status.Verdict)
	p.Tone = toneClass(tone)
	for _, check := range o.Status.Checks {
		word, tone := v.State(check.State)
		p.Checks = append(p.Checks, tag{v.CheckName(check.Name), word, toneClass(tone), check.Detail})
	}
	for _, age := range o.OpenAge {
		p.OpenOrders, p.OpenAmount = p.OpenOrders+age.Orders, p.OpenAmount+age.AmountFen
	}
	p.Open = slices.Clone(o.Status.Open)
	slices.SortStableFunc(p.Open, func(a, b operator.OpenMerchant) int { return int(min(1, max(-1, b.AmountFen-a.AmountFen))) })
	if len(p.Open) > maxMerchants {
		p.MoreMerchants, p.Open = len(p.Open)-maxMerchants, p.Open[:maxMerchants]
	}
	p.Incidents = o.Status.Incidents[:min(5, len(o.Status.Incidents))]
	p.Bands, p.Minutes, p.Days = v.ageBands(o.OpenAge), v.minuteColumns(o.Status.At, o.Minutes), v.dayColumns(o.Status.At, o.Days)
	c.fillTiles(v, &p)
	return v.showPage(http.StatusOK, "overview", v.t("overview"), p)
}

func (c *Console) fillTiles(v *visit, p *overviewPage) {
	paid, amount := 0, int64(0)
	for _, l := range p.O.Status.Learned {
		p.LearnedOrders += l.Orders
		if operator.OutcomeOf(l.Status, "") == operator.OutcomePaid {
			paid, amount = paid+l.Orders, amount+l.AmountFen
		}
	}
	p.LearnedWords = v.t("learned_words", operator.FormatCount(paid), operator.Yuan(amount))
	switch a := p.O.Answers; {
	case a == nil:
		p.Answered = "–"
	case a.Questions == 0:
		p.Answered, p.Speed = v.t("silent"), v.t("gateway_silent")
	default:
		p.Answered = v.t("answered_share", 100*float64(a.Answered)/float64(a.Questions))
		p.Speed = v.t("p95", a.P95)
	}
}

// timeBefore is a time as a filter takes it.
func timeBefore(now time.Time, age time.Duration) *time.Time { return new(now.Add(-age)) }
