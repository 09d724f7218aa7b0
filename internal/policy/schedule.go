package policy

import (
	"time"

	"reconciler/internal/order"
)

// maxSteps bounds the reckoning of one schedule: a compressed plan has no natural end.
const maxSteps = 100_000

// Schedule is an order's future on the assumption that each answer defers it.
type Schedule struct {
	// Questions are the times of the next questions. The first is the row's next_query_at, however
	// long past. The last gives the order to a person, unless the list is cut.
	Questions []time.Time
	// SlowFrom is when the questions become daily. It is nil where the order has no further wait.
	SlowFrom *time.Time
	// ReviewAt is the time of the question that gives the order to a person.
	ReviewAt *time.Time
	// LateCheckAt is the last question about a NOT_FOUND order.
	LateCheckAt *time.Time
}

// Schedule lists the coming questions about an order up to a time, at most maxQuestions of them. An
// order that is not asked by itself has none. The answers are taken to be WAIT_BUYER_PAY, or the
// order's own unresolved status.
func (r Rules) Schedule(o order.Order, now, until time.Time, maxQuestions int) Schedule {
	var s Schedule
	switch {
	case o.ReviewReason != "" || o.Status.Settled() || o.NextQueryAt == nil:
		return s
	case o.Status == order.StatusNotFound:
		s.Questions, s.LateCheckAt = []time.Time{*o.NextQueryAt}, o.NextQueryAt
		return s
	}
	slow := o.CreatedAt.Add(r.Plan.SlowAfter)
	for range maxSteps {
		at := *o.NextQueryAt
		if at.After(until) {
			break
		}
		if len(s.Questions) < maxQuestions {
			s.Questions = append(s.Questions, at)
		}
		asked := at
		if asked.Before(now) {
			asked = now
		}
		out := r.deferUnresolved(o, o.Status, asked)
		if out.Decision == order.Review {
			s.ReviewAt = &asked
			break
		}
		o.NextQueryAt, o.LastQueriedAt = out.NextQueryAt, &asked
		o.QueryCount++
	}
	if s.ReviewAt == nil || slow.Before(*s.ReviewAt) {
		s.SlowFrom = &slow
	}
	return s
}
