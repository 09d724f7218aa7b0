package operator

import (
	"context"
	"errors"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// State is how a check came out.
type State string

// The states of the checks of status, and of doctor.
const (
	StateOK        State = "ok"
	StateNote      State = "note"
	StateAttention State = "attention"
	StateCritical  State = "critical"
	StateWarn      State = "warn"
	StateFail      State = "fail"
)

// Check is one line of status.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
}

// Status is the answer to "is it well?".
type Status struct {
	Verdict   State          `json:"verdict"` // ok, attention, critical
	At        time.Time      `json:"at"`
	Checks    []Check        `json:"checks"`
	Open      []OpenMerchant `json:"open"`
	Learned   []Learned      `json:"learned"`
	After     LearnedAfter   `json:"learned_after_seconds"`
	Incidents []Incident     `json:"incidents"`

	Unread bool `json:"-"` // the open orders could not be read: their list is empty
}

// OpenMerchant is a merchant's unresolved orders.
type OpenMerchant struct {
	MID       string `json:"mid"`
	Orders    int    `json:"orders"`
	AmountFen int64  `json:"amount_fen"`
	Paused    bool   `json:"paused"`
	ByAge     ByAge  `json:"by_age"`
}

// ByAge counts orders by their age.
type ByAge struct {
	Under10m int `json:"under_10m"`
	Under1h  int `json:"under_1h"`
	Under24h int `json:"under_24h"`
	Older    int `json:"older"`
}

// Learned counts outcomes that the reconciler found out.
type Learned struct {
	Status    order.Status `json:"status"`
	Orders    int          `json:"orders"`
	AmountFen int64        `json:"amount_fen"`
}

// LearnedAfter is the time from creation to settlement; null where nothing was learned.
type LearnedAfter struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
}

const (
	// seenWithin is how fresh the heartbeat of a running instance is.
	seenWithin = time.Minute
	// maxPassAge, maxOverdue and maxUnread are the limits of status.
	maxPassAge = 10 * time.Minute
	maxOverdue = 15 * time.Minute
	maxUnread  = 15 * time.Minute
	// lately is the time that status looks back.
	lately = 7 * 24 * time.Hour
	// databasePatience bounds the first statement.
	databasePatience = 5 * time.Second
)

// figures are what the checks of status are made from. Each has its own error.
type figures struct {
	now          time.Time
	instances    []store.Instance
	controls     []store.Control
	halfOpen     []store.Control
	open         []store.OpenMerchant
	review       map[string]store.Pile
	answers      store.Answers
	incidents    []store.Incident
	unread       []store.Unread
	setAside     int
	learned      store.Learned
	instancesErr error
	controlsErr  error
	openErr      error
	reviewErr    error
	answersErr   error
	unreadErr    error
	tooSlow      error // the first one of a statement that was ended because it took too long
}

// reviewPile is all that is under review, whatever the reason.
func (f figures) reviewPile() (all store.Pile) {
	for _, pile := range f.review {
		all = all.With(pile)
	}
	return all
}

// Status looks at everything and gives a verdict. It has no error: an unreadable part is a check
// that says so.
func (d *Desk) Status(ctx context.Context) Status {
	s, _ := d.statusWithFigures(ctx)
	return s
}

func (d *Desk) statusWithFigures(ctx context.Context) (Status, figures) {
	first, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	s := Status{At: d.localTime(time.Now()), Open: []OpenMerchant{}, Learned: []Learned{}, Incidents: []Incident{}}
	now, err := d.Store.Now(first)
	if err != nil {
		s.addCheck("database", StateCritical, d.say(msgDatabaseFails, err))
		return s.withoutFigures(d.Locale), figures{now: s.At}
	}
	s.At = d.localTime(now)
	s.addCheck("database", StateOK, d.say(msgDatabaseAnswers))
	newest, err := d.Store.SchemaVersion(ctx)
	switch {
	case errors.Is(err, store.ErrOldSchema):
		s.addCheck("schema", StateCritical, d.say(msgSchemaOld))
		return s.withoutFigures(d.Locale), figures{now: s.At}
	case err != nil:
		s.addCheck("schema", StateCritical, d.say(msgCannotBeRead, err))
		return s.withoutFigures(d.Locale), figures{now: s.At}
	}
	s.addCheck("schema", StateOK, d.schemaWords(newest))
	f := d.readFigures(ctx, now)
	d.checkInstances(&s, f)
	d.checkGateway(&s, f)
	d.checkOverdue(&s, f)
	d.checkPaused(&s, f)
	d.checkReview(&s, f)
	d.checkEvents(&s, f)
	d.fillFigures(&s, f)
	s.judgeChecks()
	return s, f
}

// readFigures reads what it can. What keeps one statement waiting until it is ended, such as a lock
// on orders, would keep the later ones waiting as long: they are not begun. So those that need no
// orders go first.
func (d *Desk) readFigures(ctx context.Context, now time.Time) figures {
	f := figures{now: now}
	read := func(do func() error) error {
		if f.tooSlow != nil {
			return f.tooSlow
		}
		err := do()
		if IsTooSlow(err) {
			f.tooSlow = err
		}
		return err
	}
	f.instancesErr = read(func() (err error) { f.instances, err = d.Store.Instances(ctx); return err })
	f.controlsErr = read(func() (err error) { f.controls, err = d.Store.Controls(ctx); return err })
	f.controlsErr = errors.Join(f.controlsErr, read(func() (err error) { f.halfOpen, err = d.Store.HalfOpenControls(ctx); return err }))
	f.controlsErr = errors.Join(f.controlsErr, read(func() (err error) {
		f.incidents, err = d.Store.Incidents(ctx, store.IncidentFilter{Since: new(now.Add(-lately)), Limit: 1000})
		return err
	}))
	f.answersErr = read(func() (err error) { f.answers, err = d.Store.LatestAnswers(ctx); return err })
	f.unreadErr = read(func() (err error) { f.unread, f.setAside, err = d.Store.UnreadEvents(ctx); return err })
	f.openErr = read(func() (err error) { f.open, err = d.Store.OpenMerchants(ctx); return err })
	f.reviewErr = read(func() (err error) { f.review, err = d.Store.ReviewPile(ctx); return err })
	learnedErr := read(func() (err error) { f.learned, err = d.Store.LearnedSince(ctx, now.Add(-lately), d.Zone); return err })
	f.unreadErr = errors.Join(f.unreadErr, learnedErr)
	return f
}

// fillFigures sets what is not a check.
func (d *Desk) fillFigures(s *Status, f figures) {
	s.Unread = f.openErr != nil
	apps := appsOf(f.instances)
	for _, m := range f.open {
		if m.Orders == 0 {
			continue // only late checks
		}
		s.Open = append(s.Open, OpenMerchant{
			MID: m.MID, Orders: m.Orders, AmountFen: m.Amount, Paused: pauseOf(f.controls, apps, m.MID) != nil,
			ByAge: ByAge{Under10m: m.Under10m, Under1h: m.Under1h, Under24h: m.Under24h, Older: m.Older},
		})
	}
	for _, row := range f.learned.Statuses {
		s.Learned = append(s.Learned, Learned{Status: row.Status, Orders: row.Orders, AmountFen: row.Amount})
	}
	if len(s.Learned) > 0 {
		s.After = LearnedAfter{P50: &f.learned.P50, P95: &f.learned.P95}
	}
	s.Incidents = d.incidentsOf(f.incidents)
}
