package operator

import (
	"context"
	"fmt"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

const (
	// maxPlanned bounds the questions that are listed for one order.
	maxPlanned = 500
	// maxReckoned bounds the orders that are reckoned for what falls due; beyond, the counts are
	// scaled.
	maxReckoned = 50_000
	// maxCurve bounds the waits that are listed.
	maxCurve = 64
)

// OrderPlan is when an order will be asked, if each answer defers it.
type OrderPlan struct {
	Questions   []PlannedQuestion `json:"questions"`
	SlowFrom    *time.Time        `json:"slow_from"`
	ReviewAt    *time.Time        `json:"review_at"`
	LateCheckAt *time.Time        `json:"late_check_at"`

	detail store.Detail
	plan   policy.Plan
}

// PlannedQuestion is one of them. N counts the order's questions from 1.
type PlannedQuestion struct {
	N  int       `json:"n"`
	At time.Time `json:"at"`
}

// Plan is the curve and what falls due.
type Plan struct {
	Curve    []CurvePoint `json:"curve"`
	FallsDue []HourDue    `json:"falls_due"`

	plan policy.Plan
	at   time.Time
	rate float64
}

// CurvePoint is wait n, counted from 0, without jitter.
type CurvePoint struct {
	N           int     `json:"n"`
	WaitSeconds float64 `json:"wait_seconds"`
}

// HourDue counts the questions of an hour, if each answer defers its order.
type HourDue struct {
	At          time.Time `json:"at"` // the hour's beginning
	Questions   int       `json:"questions"`
	ShareOfRate float64   `json:"share_of_rate"` // 0 to 1, which is also where the rate cannot do it; 0 without a rate

	load float64 // the same, above 1 where the rate cannot do it
}

// Simulation is what orders cost over their life, if none is ever settled.
type Simulation struct {
	Orders            int     `json:"orders"`
	QuestionsPerOrder int     `json:"questions_per_order"`
	Questions         int     `json:"questions"`
	FirstHour         int     `json:"first_hour"` // questions of an order by that age
	FirstDay          int     `json:"first_day"`
	HoursAtRate       float64 `json:"hours_at_rate"` // for all questions; 0 without a rate
	ReviewAfter       float64 `json:"review_after_seconds"`

	plan policy.Plan
}

// PlanOrder lists the coming questions about one order.
func (d *Desk) PlanOrder(ctx context.Context, name store.OrderName) (OrderPlan, error) {
	o, err := d.findOrder(ctx, name)
	if err != nil {
		return OrderPlan{}, err
	}
	history, err := d.Store.History(ctx, o.Order)
	if err != nil {
		return OrderPlan{}, err
	}
	s := d.Rules.Schedule(o.Order, o.ClaimedAt, o.ClaimedAt.Add(foresight), maxPlanned)
	p := OrderPlan{
		Questions: make([]PlannedQuestion, len(s.Questions)), SlowFrom: d.localOf(s.SlowFrom), ReviewAt: d.localOf(s.ReviewAt),
		LateCheckAt: d.localOf(s.LateCheckAt), detail: o, plan: d.Rules.Plan,
	}
	for i, at := range s.Questions {
		p.Questions[i] = PlannedQuestion{N: history.Asked + i + 1, At: d.localTime(at)}
	}
	return p, nil
}

// Plan lists the curve, and what falls due within a time, by hours.
func (d *Desk) Plan(ctx context.Context, next time.Duration) (Plan, error) {
	now, err := d.Store.Now(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Curve: curveOf(d.Rules.Plan), plan: d.Rules.Plan, at: d.localTime(now), rate: d.Rate}
	end := now.Add(next)
	orders, total, err := d.Store.FallingDue(ctx, end, maxReckoned)
	if err != nil {
		return Plan{}, err
	}
	instances, err := d.Store.Instances(ctx)
	if err != nil {
		return Plan{}, err
	}
	hours := int((next + time.Hour - 1) / time.Hour)
	counts := make([]float64, hours)
	for _, o := range orders {
		for _, at := range d.Rules.Schedule(o, now, end.Add(-1), maxPerHour*hours).Questions {
			counts[max(0, int(at.Sub(now)/time.Hour))]++
		}
	}
	perHour := d.Rate * 3600 * float64(max(1, len(appsOf(instances))))
	for i, n := range counts {
		if len(orders) > 0 {
			n *= float64(total) / float64(len(orders))
		}
		hour := HourDue{At: d.localTime(now.Add(time.Duration(i) * time.Hour)), Questions: int(n + 0.5)}
		if perHour > 0 {
			hour.load = n / perHour
			hour.ShareOfRate = min(1, hour.load)
		}
		p.FallsDue = append(p.FallsDue, hour)
	}
	return p, nil
}

// maxPerHour bounds the questions of one order in an hour that are counted.
const maxPerHour = 10_000

// curveOf lists the waits up to the longest.
func curveOf(plan policy.Plan) []CurvePoint {
	var list []CurvePoint
	for n := range maxCurve {
		wait := plan.Curve(n)
		list = append(list, CurvePoint{N: n, WaitSeconds: wait.Seconds()})
		if n > 0 && wait <= plan.Curve(n-1) {
			break
		}
	}
	return list
}

// Simulate tells what n orders cost that no answer ever settles.
func (d *Desk) Simulate(n int) (Simulation, error) {
	if n < 1 || n > 1_000_000_000 {
		return Simulation{}, fmt.Errorf("%w: --simulate must be from 1 to 1000000000, not %d", ErrUsage, n)
	}
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := order.Order{Status: order.StatusUnknown, CreatedAt: created, ExpiresAt: created.Add(usualExpiry), NextQueryAt: &created}
	rules := d.Rules
	rules.Plan.Jitter = 0
	s := rules.Schedule(o, created, created.Add(foresight), maxSimulated)
	sim := Simulation{Orders: n, QuestionsPerOrder: len(s.Questions), Questions: n * len(s.Questions), plan: rules.Plan}
	for _, at := range s.Questions {
		if at.Sub(created) <= time.Hour {
			sim.FirstHour++
		}
		if at.Sub(created) <= 24*time.Hour {
			sim.FirstDay++
		}
	}
	if s.ReviewAt != nil {
		sim.ReviewAfter = s.ReviewAt.Sub(created).Seconds()
	}
	if d.Rate > 0 {
		sim.HoursAtRate = float64(sim.Questions) / d.Rate / 3600
	}
	return sim, nil
}

const (
	// usualExpiry is the default of orders.expires_at.
	usualExpiry = 30 * time.Minute
	// maxSimulated bounds the questions of one order of a simulation.
	maxSimulated = 100_000
)

// Page is the plan of an order as text.
func (o OrderPlan) Page(l Locale) Page {
	var p Page
	p.addLine(Strong, l.say(msgPlanOf, o.detail.ID, l.planWords(o.plan)))
	p.addLine(Plain, l.say(msgZone, l.ZoneName(o.detail.ClaimedAt)))
	if len(o.Questions) == 0 {
		p.addLine(Plain, l.say(msgPlanNone))
	}
	for _, q := range o.Questions {
		mark := ""
		asked := q.At
		if asked.Before(o.detail.ClaimedAt) {
			asked = o.detail.ClaimedAt // it is due
		}
		switch {
		case o.ReviewAt != nil && asked.Equal(*o.ReviewAt):
			mark = l.say(msgThenGiveUp)
		case o.LateCheckAt != nil && q.At.Equal(*o.LateCheckAt):
			mark = l.say(msgThenLateCheck)
		case o.SlowFrom != nil && q.At.After(*o.SlowFrom):
			mark = l.say(msgPlanDaily)
		}
		p.addRow(l.say(msgPlanNth, q.N), l.Stamp(q.At), mark)
	}
	if o.ReviewAt != nil && len(o.Questions) == maxPlanned {
		p.addLine(Plain, l.say(msgPlanMore, l.Stamp(*o.ReviewAt)))
	}
	return p
}

func (l Locale) planWords(plan policy.Plan) string {
	return l.say(msgPlanWords, l.exactAge(plan.Initial), plan.Multiplier, l.exactAge(plan.Max), plan.Jitter*100, l.Age(plan.SlowAfter), l.Age(plan.GiveUpAfter))
}

// Page is the curve and what falls due as text.
func (pl Plan) Page(l Locale) Page {
	var p Page
	p.addLine(Strong, l.planWords(pl.plan))
	for _, c := range pl.Curve {
		p.addRow(l.say(msgPlanWait, c.N), l.exactAge(toDuration(c.WaitSeconds)))
	}
	p.alignRight(len(pl.Curve), 1)
	p.addBlank()
	p.addLine(Plain, l.say(msgZone, l.ZoneName(pl.at)))
	p.addHeading(l.say(msgPlanHour), l.say(msgPlanQuestions), l.say(msgPlanShare))
	for _, h := range pl.FallsDue {
		share := "-"
		if pl.rate > 0 {
			share = fmt.Sprintf("%.1f %%", 100*h.load)
		}
		p.addRow(l.Stamp(h.At), FormatCount(h.Questions), share)
	}
	p.alignRight(len(pl.FallsDue)+1, 1, 2)
	return p
}

// Page is the simulation as text.
func (s Simulation) Page(l Locale) Page {
	var p Page
	p.addLine(Strong, l.planWords(s.plan))
	p.addLine(Plain, l.say(msgSimulated, s.QuestionsPerOrder, s.FirstHour, s.FirstDay, l.Age(toDuration(s.ReviewAfter))))
	p.addLine(Plain, l.say(msgSimulatedAll, l.CountOrders(s.Orders), FormatCount(s.Questions)))
	if s.HoursAtRate > 0 {
		p.addLine(Plain, l.say(msgSimulatedHours, s.HoursAtRate))
	}
	return p
}
