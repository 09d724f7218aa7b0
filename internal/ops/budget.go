package ops

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// budgetWindow is the time over which the use of a budget is measured, in seconds.
const budgetWindow = 60

// budgets measures how much of each app id's round trips a second this instance takes. The budget
// is shared, so the sum over the instances is its use. It counts what is sent: the level of the
// bucket in the database changes several times a second and says nothing when it is sampled.
type budgets struct {
	mu   sync.Mutex
	rate float64 // round trips a second; 0 = no limit, and no figure
	apps map[string]*tripCounts
	desc *prometheus.Desc
}

func newBudgets() *budgets {
	return &budgets{
		apps: make(map[string]*tripCounts),
		desc: prometheus.NewDesc("reconciler_budget_used_ratio",
			"Share of the app id's budget that this instance took in the last minute. There is none without a limit.", []string{"app_id"}, nil),
	}
}

// setRate begins the figures of these app ids at 0.
func (b *budgets) setRate(rate float64, appIDs []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = rate
	for _, id := range appIDs {
		b.ofApp(id)
	}
}

func (b *budgets) ofApp(id string) *tripCounts {
	counts := b.apps[id]
	if counts == nil {
		counts = &tripCounts{}
		b.apps[id] = counts
	}
	return counts
}

func (b *budgets) countTrip(appID string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ofApp(appID).add(now)
}

// Describe names the figure.
func (b *budgets) Describe(descs chan<- *prometheus.Desc) { descs <- b.desc }

// Collect tells it for each app id.
func (b *budgets) Collect(metrics chan<- prometheus.Metric) {
	for app, ratio := range b.usedRatios(time.Now()) {
		metrics <- prometheus.MustNewConstMetric(b.desc, prometheus.GaugeValue, ratio, labelText(app))
	}
}

func (b *budgets) usedRatios(now time.Time) map[string]float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	ratios := make(map[string]float64)
	if b.rate <= 0 {
		return ratios
	}
	for app, counts := range b.apps {
		ratios[app] = float64(counts.sum(now)) / budgetWindow / b.rate
	}
	return ratios
}

// tripCounts are the round trips of each of the last seconds, and of the one that has just begun.
type tripCounts [budgetWindow + 1]struct{ second, trips int64 }

func (c *tripCounts) add(now time.Time) {
	second := now.Unix()
	slot := &c[second%int64(len(c))]
	if slot.second != second {
		slot.second, slot.trips = second, 0
	}
	slot.trips++
}

// sum adds up the last minute. The second that has just begun would make the rate too low.
func (c *tripCounts) sum(now time.Time) (trips int64) {
	second := now.Unix()
	for _, slot := range c {
		if slot.second >= second-budgetWindow && slot.second < second {
			trips += slot.trips
		}
	}
	return trips
}
