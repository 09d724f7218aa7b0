package operator

import (
	"time"

	"reconciler/internal/store"
)

// examineServer tells whether the server takes writes. A viewer needs none.
func (d *Desk) examineServer(e *Examination, o DoctorOptions, server store.Server, took time.Duration) {
	switch {
	case server.InRecovery:
		e.addCheck("database", StateFail, d.say(msgInRecovery, server.Version), "")
	case server.ReadOnly && o.Audience != store.ForViewer:
		e.addCheck("database", StateFail, d.say(msgReadOnly, server.Role), d.say(msgReadOnlyFix))
	case server.AwaitStandby > 0:
		e.addCheck("database", StateFail, d.say(msgAwaitStandby, server.AwaitStandby), d.say(msgAwaitStandbyFix))
	default:
		e.addCheck("database", StateOK, d.say(msgServerIs, server.Version, float64(took.Microseconds())/1000, server.Role), "")
	}
}

// schemaWords tells what the newest migration of a schema means that the program can use.
func (l Locale) schemaWords(newest int64) string {
	if newest > store.NewestMigration() {
		return l.say(msgSchemaNewer, newest)
	}
	return l.say(msgSchemaCurrent)
}
