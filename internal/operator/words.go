package operator

import (
	"fmt"
	"strings"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Word is a word of the console in the person's language. A test of the console asks for every key.
// One that is unknown comes back as it is. The commands have their headings in capitals; the
// console has the same words small.
func (l Locale) Word(key string, args ...any) string {
	m, known := consoleWords()[key]
	if !known {
		return key
	}
	if text := l.say(m); strings.ToUpper(text) == text {
		return strings.ToLower(text)
	}
	return l.say(m, args...)
}

// HasWord reports whether the catalogue has a word of the console.
func HasWord(key string) bool {
	_, known := consoleWords()[key]
	return known
}

// WordKeys lists the keys of the console's words.
func WordKeys() []string {
	words := consoleWords()
	keys := make([]string, 0, len(words))
	for key := range words {
		keys = append(keys, key)
	}
	return keys
}

// Stamp is a time of the person's zone, without its name: a page names the zone once.
func (l Locale) Stamp(t time.Time) string { return l.stamp(t) }

// ZoneName is the zone as it is named once on a page.
func (l Locale) ZoneName(t time.Time) string { return l.zoneName(t) }

// Age is a duration in at most two units.
func (l Locale) Age(d time.Duration) string { return l.age(d) }

// Number is a count with separators.
func (l Locale) Number(n int) string { return number(n) }

// Orders is a number of orders in words.
func (l Locale) Orders(n int) string { return l.orders(n) }

// Verdict is the verdict of status in one word, with its tone.
func (l Locale) Verdict(s State) (string, Tone) { return l.verdict(s) }

// VerdictSummary says how many checks need a person.
func (l Locale) VerdictSummary(s Status) string { return s.summary(l) }

// State is the state of a check in one word, with its tone.
func (l Locale) State(s State) (string, Tone) { return l.state(s) }

// CheckName is the name of a check of status.
func (l Locale) CheckName(name string) string { return l.say(checkName(name)) }

// Outcome is an order's fate in one word.
func (l Locale) Outcome(o Outcome) string { return l.outcome(o) }

// OutcomeOf reads status and review reason.
func OutcomeOf(status order.Status, review string) Outcome { return outcomeOf(status, review) }

// Tone says how an outcome is meant.
func (o Outcome) Tone() Tone { return Why{Outcome: o}.tone() }

// Decision is what a question led to, in one word.
func (l Locale) Decision(d order.Decision) string { return l.decision(d) }

// Kind is what a moment of a story is.
func (l Locale) Kind(kind string) string { return l.momentKind(kind) }

// Then is something that is to come, in words.
func (l Locale) Then(what string) string { return l.thenWords(what) }

// Target names the app id or the merchant of a pause.
func (l Locale) Target(scope store.Scope, key string) string { return l.target(scope, key) }

// Who names the author of a pause.
func (l Locale) Who(name string) string { return l.personName(name) }

// UntilWhen tells when a pause ends.
func (l Locale) UntilWhen(t *time.Time) string { return l.untilWhen(t) }

// Delivery is the state of an event in words.
func (l Locale) Delivery(e Event) string { return l.delivery(e) }

// Done tells what an action about an order did.
func (c Change) Done(l Locale) string { return c.Page(l).Rows[0][0].Text }

// Done tells what a pause or its end did.
func (c PauseChange) Done(l Locale) string { return c.Page(l).Rows[0][0].Text }

// Change is the status before and after, where the action was about an order.
func (a Action) Change() string { return a.change() }

// What names what the action was about.
func (a Action) What(l Locale) string {
	switch {
	case a.OrderID != nil:
		return fmt.Sprintf("#%d", *a.OrderID)
	case a.Scope != nil:
		return l.target(store.Scope(*a.Scope), textOf(a.Key))
	}
	return ""
}
