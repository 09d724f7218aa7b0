package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
)

func minutesAfter(times []time.Time, from time.Time) []float64 {
	var list []float64
	for _, at := range times {
		list = append(list, at.Sub(from).Minutes())
	}
	return list
}

// The default plan by hand: doubling waits, one pulled forward to expiry + 1 min, daily from a day
// of age, and a person at a week of age.
func TestScheduleOfADefaultOrder(t *testing.T) {
	t.Parallel()
	o := anOrder(withAge(0))
	s := testRules().Schedule(o, now, now.Add(1000*time.Hour), 1000)
	want := []float64{0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 31 /* not 31.75: expiry + 1 min */}
	for at := 31.0 + 32; at < 31+32+1440; at += 60 { // 32 min, then hourly up to the first at more than a day of age
		want = append(want, at)
		if at > 1440 {
			break
		}
	}
	first := want[len(want)-1]
	for day := 1.0; ; day++ {
		want = append(want, first+1440*day)
		if first+1440*day > 7*1440 {
			break
		}
	}
	if diff := cmp.Diff(want, minutesAfter(s.Questions, now)); diff != "" {
		t.Errorf("questions, minutes (-want +got):\n%s", diff)
	}
	if s.SlowFrom == nil || !s.SlowFrom.Equal(now.Add(24*time.Hour)) {
		t.Errorf("slow from %v", s.SlowFrom)
	}
	if last := s.Questions[len(s.Questions)-1]; s.ReviewAt == nil || !s.ReviewAt.Equal(last) {
		t.Errorf("review at %v, want the last question's time %v", s.ReviewAt, last)
	}
	if s.LateCheckAt != nil {
		t.Errorf("late check at %v of an order that is not NOT_FOUND", s.LateCheckAt)
	}
}

// The schedule is what Decide does when each answer defers.
func TestScheduleFollowsDecide(t *testing.T) {
	t.Parallel()
	rules := testRules()
	rules.Plan.Jitter = 0.1
	reply := newAsker(t)(anOrder(), 200, answer(`status="WAIT_BUYER_PAY"`))
	for id := range int64(50) {
		o := anOrder(withAge(time.Duration(id)*time.Hour), withQueryCount(int(id%5)), func(o *order.Order) { o.ID = id })
		s := rules.Schedule(o, now, now.Add(1000*time.Hour), 1000)
		for i, at := range s.Questions {
			if !o.NextQueryAt.Equal(at) {
				t.Fatalf("order %d, question %d: planned %s, asked %s", id, i, at, o.NextQueryAt)
			}
			out := rules.Decide(o, reply, at)
			if out.Decision == order.Review {
				if i != len(s.Questions)-1 || s.ReviewAt == nil || !s.ReviewAt.Equal(at) {
					t.Fatalf("order %d: review at %s, planned %v", id, at, s.ReviewAt)
				}
				break
			}
			o.NextQueryAt, o.LastQueriedAt, o.Status = out.NextQueryAt, &at, out.Status
			o.QueryCount++
		}
	}
}

func TestScheduleOfOthers(t *testing.T) {
	t.Parallel()
	rules, far, past := testRules(), now.Add(1000*time.Hour), now.Add(-time.Hour)
	tomorrow := now.Add(24 * time.Hour)
	if s := rules.Schedule(anOrder(withStatus(order.StatusNotFound), dueAt(&tomorrow)), now, far, 10); s.LateCheckAt == nil || len(s.Questions) != 1 {
		t.Errorf("NOT_FOUND: %+v, want its late check", s)
	}
	for name, o := range map[string]order.Order{
		"settled":      anOrder(withStatus(order.StatusTradeSuccess), dueAt(nil)),
		"closed case":  anOrder(withStatus(order.StatusNotFound), dueAt(nil)),
		"under review": anOrder(underReview(order.ReviewPoison)),
	} {
		if s := rules.Schedule(o, now, far, 10); len(s.Questions) != 0 {
			t.Errorf("%s: %+v, want no question", name, s)
		}
	}
	s := rules.Schedule(anOrder(dueAt(&past)), now, far, 3)
	if want := []float64{-60, 0.25, 0.75}; !cmp.Equal(want, minutesAfter(s.Questions, now)) {
		t.Errorf("overdue: %v, want %v: the second follows the present", minutesAfter(s.Questions, now), want)
	}
	if s.ReviewAt == nil {
		t.Error("a list that is cut lacks the review")
	}
	if s := rules.Schedule(anOrder(), now, now.Add(time.Minute), 10); len(s.Questions) != 3 || s.ReviewAt != nil {
		t.Errorf("within a minute: %+v, want three questions", s)
	}
}
