package console

import (
	"fmt"
	"math"
	"time"

	"reconciler/internal/operator"
)

// Plots are laid out in percentages of their width, so that shapes and hatches keep their form.

// band is one bar of the open money by age.
type band struct {
	Name, Class, Width string
	Orders             int
	AmountFen          int64
}

func formatShare(share float64) string { return fmt.Sprintf("%.2f%%", 100*share) }

func (v *visit) ageBands(ages [4]operator.AgeBand) []band {
	most := int64(1)
	for _, a := range ages {
		most = max(most, a.AmountFen)
	}
	list := make([]band, len(ages))
	for i, key := range []string{"under_10m", "under_1h", "under_24h", "older"} {
		list[i] = band{
			Name: v.t(key), Class: fmt.Sprintf("band-%d", i), Width: formatShare(float64(ages[i].AmountFen) / float64(most)),
			Orders: ages[i].Orders, AmountFen: ages[i].AmountFen,
		}
	}
	return list
}

// series is one kind of a column plot, from the bottom up.
type series struct {
	Class, Word string
	Hatch       bool
	Counts      []int
}

// columns is a plot of stacked columns over time.
type columns struct {
	Key, Title, Label, Empty, Top string
	Rects                         []rect
	Ticks                         []string
	Legend                        []legend
	Each                          bool // each column has its tick
}

type rect struct{ Class, X, Y, W, H, Hatch string }

type legend struct {
	Kind, Class, Word, Hatch string
	Count                    int
}

// stackColumns lays columns out. All series have the same length. The label's words take the total
// of each.
func (v *visit) stackColumns(p columns, list []series, label, empty string) columns {
	slots, top := len(list[0].Counts), 0
	for i := range slots {
		sum := 0
		for _, s := range list {
			sum += s.Counts[i]
		}
		top = max(top, sum)
	}
	if top == 0 {
		p.Empty = v.t(empty)
	}
	heights := make([]int, slots)
	var totals []any
	for _, s := range list {
		hatch, total := "", 0
		if s.Hatch {
			hatch = p.Key + "-hatch"
		}
		for i, n := range s.Counts {
			total += n
			if n == 0 {
				continue
			}
			heights[i] += n
			p.Rects = append(p.Rects, rect{
				Class: s.Class, Hatch: hatch, X: formatShare((float64(i) + 0.1) / float64(slots)), W: formatShare(0.8 / float64(slots)),
				Y: formatShare(1 - float64(heights[i])/float64(top)), H: formatShare(float64(n) / float64(top)),
			})
		}
		p.Legend = append(p.Legend, legend{Class: s.Class, Hatch: hatch, Word: s.Word, Count: total})
		totals = append(totals, total)
	}
	p.Label, p.Top = v.t(label, totals...), operator.FormatCount(top)
	return p
}

const minuteSlots = 60

func (v *visit) minuteColumns(now time.Time, counts []operator.MinuteCount) columns {
	first := now.Truncate(time.Minute).Add(-(minuteSlots - 1) * time.Minute)
	list := []series{
		{Class: "answered", Word: v.t("answered"), Counts: make([]int, minuteSlots)},
		{Class: "no-answer", Word: v.t("no_answer"), Hatch: true, Counts: make([]int, minuteSlots)},
		{Class: "refused", Word: v.t("refused"), Counts: make([]int, minuteSlots)},
	}
	for _, m := range counts {
		slot := int(m.Minute.Sub(first) / time.Minute)
		for i, n := range [3]int{m.Answered, m.NoAnswer, m.Refused} {
			if slot >= 0 && slot < minuteSlots {
				list[i].Counts[slot] += n
			}
		}
	}
	p := columns{Key: "minutes", Title: v.t("minutes_title")}
	for _, ago := range []int{59, 40, 20, 0} {
		p.Ticks = append(p.Ticks, v.Stamp(now.Add(-time.Duration(ago) * time.Minute))[11:16])
	}
	return v.stackColumns(p, list, "minutes_label", "gateway_silent")
}

const daySlots = 7

func (v *visit) dayColumns(now time.Time, counts []operator.DayCount) columns {
	list := []series{
		{Class: "paid", Word: v.t("paid"), Counts: make([]int, daySlots)},
		{Class: "refunded", Word: v.t("refunded"), Counts: make([]int, daySlots)},
		{Class: "closed", Word: v.t("closed"), Counts: make([]int, daySlots)},
	}
	p := columns{Key: "days", Title: v.t("days_title"), Each: true}
	slots := make(map[string]int, daySlots)
	for i := range daySlots {
		day := v.Stamp(now.AddDate(0, 0, i-daySlots+1))[:10]
		slots[day] = i
		p.Ticks = append(p.Ticks, day[5:])
	}
	for _, c := range counts {
		kind := map[operator.Outcome]int{operator.OutcomePaid: 0, operator.OutcomeRefunded: 1, operator.OutcomeClosed: 2}[operator.OutcomeOf(c.Status, "")]
		if slot, known := slots[c.Day]; known {
			list[kind].Counts[slot] += c.Orders
		}
	}
	return v.stackColumns(p, list, "days_label", "nothing_learned")
}

// timeline is the life of an order on a logarithmic axis: its first minutes matter as much as its
// days.
type timeline struct {
	Label  string
	Dots   []dot
	Spans  []span
	Ticks  []tick
	Now    string
	Legend []legend
}

type dot struct{ X, Kind string }

type span struct{ X, W string }

type tick struct{ X, Word, Anchor string }

// knee is the time at which the axis turns from linear to logarithmic.
const knee = 10 * time.Second

func (v *visit) timelineOf(f operator.Facts, w operator.Why) timeline {
	end := f.At.Add(time.Minute)
	for _, then := range w.Then {
		if then.At.After(end) {
			end = then.At
		}
	}
	place := placesBetween(f.CreatedAt, end)
	line := timeline{Label: v.t("timeline_label", f.Questions, v.Stamp(f.CreatedAt)), Now: formatShare(place(f.At))}
	kinds := make(map[string]bool)
	add := func(at time.Time, kind string) {
		line.Dots, kinds[kind] = append(line.Dots, dot{formatShare(place(at)), kind}), true
	}
	var since *time.Time
	for _, m := range w.Story {
		switch kind := momentKind(m); kind {
		case "paused":
			since, kinds["paused"] = &m.At, true
		case "resumed":
			if since == nil {
				since = &f.CreatedAt
			}
			line.Spans = append(line.Spans, spanOf(place(*since), place(m.At)))
			since, kinds["paused"] = nil, true
		default:
			add(m.At, kind)
		}
	}
	if since != nil {
		line.Spans = append(line.Spans, spanOf(place(*since), place(f.At)))
	}
	if w.Next.Comes() && w.Next.At.After(f.At) {
		add(*w.Next.At, "to_come")
	}
	for _, then := range w.Then {
		if then.What != "expiry" {
			add(then.At, "to_come")
		}
	}
	line.Ticks = v.timelineAxis(f, place)
	kinds["now"] = true
	line.Legend = v.timelineLegend(kinds)
	return line
}

// placesBetween returns the places of instants on the axis, from 0 to 1.
func placesBetween(begin, end time.Time) func(time.Time) float64 {
	whole := math.Log1p(float64(end.Sub(begin)) / float64(knee))
	return func(t time.Time) float64 {
		if !t.After(begin) || whole <= 0 {
			return 0
		}
		return min(1, math.Log1p(float64(t.Sub(begin))/float64(knee))/whole)
	}
}

func (v *visit) timelineLegend(kinds map[string]bool) (list []legend) {
	for _, of := range []struct{ kind, word string }{
		{"created", "created"},
		{"asked", "kind_asked"},
		{"failed", "kind_failed"},
		{"event", "kind_event"},
		{"action", "kind_action"},
		{"paused", "kind_paused"},
		{"now", "kind_now"},
		{"to_come", "kind_to_come"},
	} {
		if kinds[of.kind] {
			list = append(list, legend{Kind: of.kind, Word: v.t(of.word)})
		}
	}
	return list
}

func spanOf(from, to float64) span { return span{formatShare(from), formatShare(max(0.002, to-from))} }

// momentKind tells questions without an answer from the others.
func momentKind(m operator.Moment) string {
	if m.LedgerRow != nil && (m.Decision == "no_answer" || m.Decision == "refused") {
		return "failed"
	}
	return m.Kind
}

// timelineAxis names those ages that have room.
func (v *visit) timelineAxis(f operator.Facts, place func(time.Time) float64) []tick {
	ticks := []tick{{"0%", v.Stamp(f.CreatedAt)[5:16], "start"}}
	const room = 0.11
	last := 0.2
	for _, age := range []struct {
		after time.Duration
		key   string
	}{{time.Minute, "minute_1"}, {10 * time.Minute, "minutes_10"}, {time.Hour, "hour_1"}, {24 * time.Hour, "day_1"}, {7 * 24 * time.Hour, "days_7"}} {
		at := place(f.CreatedAt.Add(age.after))
		if at-last < room && at < 0.995 || at >= 1 {
			continue
		}
		anchor := "middle"
		if at > 0.97 {
			anchor = "end"
		}
		ticks, last = append(ticks, tick{formatShare(at), "+" + v.t(age.key), anchor}), at
	}
	return ticks
}
