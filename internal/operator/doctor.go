package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler/internal/store"
)

// Examination is what doctor found.
type Examination struct {
	Checks []Finding `json:"checks"`
}

// Finding is one check of doctor. Fix is what to do; "": nothing.
type Finding struct {
	Name   string `json:"name"`
	State  State  `json:"state"` // ok, warn, fail
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
}

// DoctorOptions are what the program knows beside the tables.
type DoctorOptions struct {
	SettingsErr  error    // everything that is wrong with the settings
	SettingsRead int      // how many settings there are
	Unknown      []string // variables that look like settings and are none
	FileWarnings []string // about the files of secrets
	Audience     store.Audience
	Fix          bool
	// AskGateway asks one signed question with each app id, about an order that does not exist. It
	// tells what came of each, and whether all are well. It is nil unless it was asked for.
	AskGateway func(context.Context) (told []string, well bool)
}

const (
	// maxClockDifference is how far the clocks of this machine and the database may be apart.
	maxClockDifference = 2 * time.Second
	// maxDeadShare and minDead say when a table needs its vacuum.
	maxDeadShare = 0.2
	minDead      = 10_000
	// maxXIDAge is an age of the oldest transaction number at which autovacuum has failed for long.
	maxXIDAge = 1_000_000_000
	// orphansShown and orphansFixed bound what is listed and made due at once.
	orphansShown = 20
	orphansFixed = 10_000
)

// Failed reports whether a check failed.
func (e Examination) Failed() bool {
	for _, f := range e.Checks {
		if f.State == StateFail {
			return true
		}
	}
	return false
}

func (e *Examination) addCheck(name string, state State, detail, fix string) {
	e.Checks = append(e.Checks, Finding{Name: name, State: state, Detail: detail, Fix: fix})
}

// addProblems adds a check that fails, or warns, where there are problems.
func (e *Examination) addProblems(name string, bad State, problems []string, well, fix string) {
	if len(problems) == 0 {
		e.addCheck(name, StateOK, well, "")
		return
	}
	e.addCheck(name, bad, strings.Join(problems, "; "), fix)
}

// Doctor checks what a daemon with these settings needs. It has no error: a failed reading is a
// check that failed. A desk without a store checks the settings alone.
func (d *Desk) Doctor(ctx context.Context, o DoctorOptions) Examination {
	var e Examination
	d.examineSettings(&e, o)
	ready := d.examineDatabase(ctx, &e, o)
	d.examineGateway(ctx, &e, o, ready)
	d.examineTables(ctx, &e, o, ready)
	return e
}

func (d *Desk) examineSettings(e *Examination, o DoctorOptions) {
	switch {
	case o.SettingsErr != nil:
		e.addCheck("settings", StateFail, o.SettingsErr.Error(), "")
	case len(o.Unknown) > 0:
		e.addCheck("settings", StateWarn, strings.Join(o.Unknown, "; "), "reconciler config")
	default:
		e.addCheck("settings", StateOK, d.say(msgSettingsRead, o.SettingsRead), "")
	}
}

// examineDatabase reports whether the tables can be read.
func (d *Desk) examineDatabase(ctx context.Context, e *Examination, o DoctorOptions) bool {
	skip := func(names ...string) bool {
		for _, name := range names {
			e.addCheck(name, StateWarn, d.say(msgNotLookedAt), "")
		}
		d.examineFiles(e, o)
		return false
	}
	if d.Store == nil {
		e.addCheck("database", StateFail, d.say(msgNoDatabase), "")
		return skip("schema", "rights", "clock")
	}
	first, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	began := time.Now()
	server, err := d.Store.Server(first)
	if err != nil {
		e.addCheck("database", StateFail, d.say(msgDatabaseFails, err), "")
		return skip("schema", "rights", "clock")
	}
	took := time.Since(began)
	d.examineServer(e, o, server, took)
	newest, err := d.Store.SchemaVersion(ctx)
	switch {
	case errors.Is(err, store.ErrOldSchema):
		e.addCheck("schema", StateFail, d.say(msgSchemaOld), "reconciler migrate up")
	case err != nil:
		e.addCheck("schema", StateFail, d.say(msgCannotBeRead, err), "")
	default:
		e.addCheck("schema", StateOK, d.schemaWords(newest), "")
	}
	d.examineRights(ctx, e, o, server, errors.Is(err, store.ErrOldSchema))
	difference := server.Now.Sub(began.Add(took / 2)).Abs()
	state, fix := StateOK, ""
	if difference > maxClockDifference+took {
		state, fix = StateWarn, d.say(msgClockFix)
	}
	e.addCheck("clock", state, d.say(msgClockDiffers, d.clockDifference(difference)), fix)
	d.examineFiles(e, o)
	return err == nil
}

func (d *Desk) examineRights(ctx context.Context, e *Examination, o DoctorOptions, server store.Server, old bool) {
	missing, err := d.Store.MissingRights(ctx, o.Audience)
	hidden, hiddenErr := d.Store.RowSecurity(ctx)
	switch err := errors.Join(err, hiddenErr); {
	case err != nil:
		e.addCheck("rights", StateFail, d.say(msgCannotBeRead, err), "")
	case len(missing) > 0:
		e.addCheck("rights", StateFail, d.say(msgRightsLacking, server.Role, len(missing), o.Audience), strings.Join(missing, "\n"))
	case len(hidden) > 0:
		e.addCheck("rights", StateWarn, d.say(msgRowSecurity, strings.Join(hidden, ", ")), "")
	case old: // it may lack rights to the tables that are to come
		e.addCheck("rights", StateWarn, d.say(msgNotLookedAt), "")
	default:
		e.addCheck("rights", StateOK, d.say(msgRightsAll, server.Role, o.Audience), "")
	}
}

func (d *Desk) examineFiles(e *Examination, o DoctorOptions) {
	e.addProblems("key_file", StateWarn, o.FileWarnings, d.say(msgFilesPrivate), d.say(msgFilesFix))
}

// examineGateway looks at the pauses and the latest answers, and asks where that was wanted.
func (d *Desk) examineGateway(ctx context.Context, e *Examination, o DoctorOptions, ready bool) {
	state, parts, fix := StateOK, []string{}, ""
	if ready {
		controls, err := d.Store.Controls(ctx)
		answers, answersErr := d.Store.LatestAnswers(ctx)
		if err := errors.Join(err, answersErr); err != nil {
			e.addCheck("gateway", StateFail, d.say(msgCannotBeRead, err), "")
			return
		}
		for _, p := range d.pausesOf(controls, nil, nil) {
			state, fix = StateWarn, "reconciler pauses"
			parts = append(parts, p.inWords(d.Locale))
		}
		parts = append(parts, d.answersInWords(answers))
		for _, c := range answers.Codes {
			if c.Code != "" && c.Code != "SUCCESS" {
				parts = append(parts, fmt.Sprintf("%s %d", c.Code, c.Questions))
			}
		}
	}
	if o.AskGateway != nil {
		told, well := o.AskGateway(ctx)
		if !well {
			state, fix = StateFail, d.say(msgGatewayFix)
		}
		parts = append(parts, told...)
	}
	if len(parts) == 0 {
		state, parts = StateWarn, []string{d.say(msgNotLookedAt)}
	}
	e.addCheck("gateway", state, strings.Join(parts, "; "), fix)
}

// examineTables checks what only a database that can be read shows.
func (d *Desk) examineTables(ctx context.Context, e *Examination, o DoctorOptions, ready bool) {
	if !ready {
		for _, name := range []string{"orphans", "vacuum", "indexes", "instances"} {
			e.addCheck(name, StateWarn, d.say(msgNotLookedAt), "")
		}
		return
	}
	d.examineOrphans(ctx, e, o)
	d.examineVacuum(ctx, e)
	d.examineParts(ctx, e)
	d.examineInstances(ctx, e)
}

func (d *Desk) examineOrphans(ctx context.Context, e *Examination, o DoctorOptions) {
	fixed := 0
	if o.Fix {
		if err := d.checkActor(); err != nil {
			e.addCheck("orphans", StateFail, err.Error(), "")
			return
		}
		var err error
		fixed, err = d.Store.AdoptOrphans(ctx, orphansFixed, d.newAction("doctor --fix", ""))
		if err != nil {
			e.addCheck("orphans", StateFail, d.say(msgCannotBeRead, err), "")
			return
		}
	}
	ids, err := d.Store.Orphans(ctx, orphansShown)
	switch {
	case err != nil:
		e.addCheck("orphans", StateFail, d.say(msgCannotBeRead, err), "")
	case len(ids) > 0:
		e.addCheck("orphans", StateFail, d.say(msgOrphans, d.CountOrders(len(ids)), strings.Trim(fmt.Sprint(ids), "[]")), "reconciler doctor --fix")
	case fixed > 0:
		e.addCheck("orphans", StateOK, d.say(msgOrphansFixed, d.CountOrders(fixed)), "")
	default:
		e.addCheck("orphans", StateOK, d.say(msgOrphansNone), "")
	}
}

// examineParts looks for indexes and triggers that are missing. The fix are the statements.
func (d *Desk) examineParts(ctx context.Context, e *Examination) {
	missing, err := d.Store.MissingParts(ctx)
	if err != nil {
		e.addCheck("indexes", StateFail, d.say(msgCannotBeRead, err), "")
		return
	}
	var problems, fix []string
	for _, part := range missing {
		problems = append(problems, part.String())
		fix = append(fix, part.Statements()...)
	}
	e.addProblems("indexes", StateFail, problems, d.say(msgIndexesStand), strings.Join(fix, "\n"))
}

func (d *Desk) examineVacuum(ctx context.Context, e *Examination) {
	tables, err := d.Store.TableHealths(ctx)
	if err != nil {
		e.addCheck("vacuum", StateFail, d.say(msgCannotBeRead, err), "")
		return
	}
	var problems, fix []string
	for _, t := range tables {
		problem, mend := d.vacuumProblem(t)
		if problem != "" {
			problems = append(problems, problem)
		}
		if mend != "" && !slices.Contains(fix, mend) {
			fix = append(fix, mend)
		}
	}
	e.addProblems("vacuum", StateWarn, problems, d.say(msgVacuumWell), strings.Join(fix, "\n"))
}

// vacuumProblem says what keeps a table from being vacuumed, and the statements that help.
func (d *Desk) vacuumProblem(t store.TableHealth) (problem, fix string) {
	vacuum := "VACUUM (ANALYZE) " + t.Qualified + ";"
	switch {
	case t.ServerOff:
		return d.say(msgVacuumOff, t.Table), "ALTER SYSTEM SET autovacuum = on;\nSELECT pg_reload_conf();"
	case t.Disabled:
		return d.say(msgVacuumOff, t.Table), "ALTER TABLE " + t.Qualified + " RESET (autovacuum_enabled);"
	case t.XIDAge > maxXIDAge:
		return d.say(msgVacuumOld, t.Table, FormatCount(t.XIDAge)), vacuum
	case t.Dead > minDead && float64(t.Dead) > maxDeadShare*float64(t.Live):
		return d.say(msgVacuumDead, t.Table, FormatCount(t.Dead), FormatCount(t.Live)), vacuum
	}
	return "", ""
}

func (d *Desk) examineInstances(ctx context.Context, e *Examination) {
	var s Status
	now, err := d.Store.Now(ctx)
	f := figures{now: now}
	if err == nil {
		f.instances, err = d.Store.Instances(ctx)
	}
	if err != nil {
		e.addCheck("instances", StateFail, d.say(msgCannotBeRead, err), "")
		return
	}
	d.checkInstances(&s, f)
	state, detail := StateOK, s.Checks[0].Detail
	if s.Checks[0].State != StateOK {
		state = StateWarn // before the first start there is none
	}
	for _, c := range s.Checks {
		if c.Name == "writing" && c.State == StateCritical {
			state, detail = StateFail, c.Detail
		}
	}
	e.addCheck("instances", state, detail, "")
}

// Page is the examination as a table.
func (e Examination) Page(l Locale) Page {
	var p Page
	for _, f := range e.Checks {
		word, tone := l.State(f.State)
		lines := strings.Split(f.Detail, "\n")
		p.Rows = append(p.Rows, Row{{Text: word, Tone: tone}, {Text: l.say(findingName(f.Name))}, {Text: lines[0]}})
		if f.Fix != "" {
			lines = append(lines, strings.Split(f.Fix, "\n")...)
		}
		for _, line := range lines[1:] {
			p.addRow("", "", "  "+line)
		}
	}
	return p
}

func findingName(name string) message {
	return map[string]message{
		"settings": msgFindSettings, "database": msgCheckDatabase, "schema": msgCheckSchema, "rights": msgFindRights, "clock": msgFindClock,
		"key_file": msgFindKeyFile, "gateway": msgCheckGateway, "orphans": msgFindOrphans, "vacuum": msgFindVacuum, "indexes": msgFindIndexes,
		"instances": msgCheckInstances,
	}[name]
}
