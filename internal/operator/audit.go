package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler/internal/store"
)

// Actions is what people did.
type Actions struct {
	Actions []Action `json:"actions"`
}

// Action is a row of operator_actions.
type Action struct {
	ID       int64           `json:"id"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"`
	DBUser   string          `json:"db_user"`
	Via      string          `json:"via"`
	Action   string          `json:"action"`
	OrderID  *int64          `json:"order_id"`
	Scope    *string         `json:"scope"`
	Key      *string         `json:"key"`
	Reason   *string         `json:"reason"`
	Evidence *string         `json:"evidence"`
	Before   json.RawMessage `json:"before"`
	After    json.RawMessage `json:"after"`
}

// Actions lists what people did, the latest first.
func (d *Desk) Actions(ctx context.Context, f store.ActionFilter) (Actions, error) {
	rows, err := d.Store.Actions(ctx, f)
	if err == nil && len(rows) == 0 {
		err = checkKnown("action", f.Action, ActionNames())
	}
	list := Actions{Actions: make([]Action, len(rows))}
	for i, a := range rows {
		list.Actions[i] = Action{
			ID: a.ID, At: d.localTime(a.At), Actor: a.Actor, DBUser: a.DBUser, Via: a.Via, Action: a.Action, OrderID: a.OrderID,
			Scope: nullText(a.Scope), Key: nullText(a.Key), Reason: nullText(a.Reason), Evidence: nullText(a.Evidence), Before: a.Before, After: a.After,
		}
	}
	return list, err
}

// ActionNames lists all that this program records.
func ActionNames() []string {
	return []string{"resolve", "retry", "pause", "resume", "run-once --despite-pause", "events resend", "prune", "doctor --fix"}
}

// checkKnown tells a word that nothing ever has from one that nothing has at present. A row may
// have a word of a newer program's, so only an empty list is judged.
func checkKnown(what, word string, known []string) error {
	if word == "" || slices.Contains(known, word) {
		return nil
	}
	return refuse(fmt.Errorf("%w: %q is no %s; there are %s", ErrUsage, word, what, strings.Join(known, ", ")), msgRefusedWord, word, strings.Join(known, ", "))
}

// Page is the list as a table.
func (a Actions) Page(l Locale) Page {
	var p Page
	if len(a.Actions) == 0 {
		p.addLine(Plain, l.say(msgNoActions))
		return p
	}
	p.addLine(Plain, l.say(msgZone, l.ZoneName(a.Actions[0].At)))
	p.addHeading(l.say(msgColAt), l.say(msgColWho), l.say(msgColVia), l.say(msgColAction), l.say(msgColWhat), l.say(msgColChange), l.say(msgColReason), l.say(msgColEvidence))
	for _, action := range a.Actions {
		p.addRow(l.Stamp(action.At), action.Actor+" ("+action.DBUser+")", action.Via, action.Action, action.What(l), action.Change(), textOf(action.Reason), textOf(action.Evidence))
	}
	return p
}

// shownChanges are the columns of an order whose change is shown, amounts last.
func shownChanges() []string {
	return []string{"status", "review_reason", "tid", "inst_mid", "mer_order_id", "target_order_id", "total_amount", "refund_amount"}
}

// Change is what was changed, where the action was about an order. The status needs no name.
func (a Action) Change() string {
	var before, after map[string]any
	if json.Unmarshal(a.Before, &before) != nil || json.Unmarshal(a.After, &after) != nil {
		return ""
	}
	var changes []string
	for _, column := range shownChanges() {
		was, is := shownValue(column, before[column]), shownValue(column, after[column])
		if was == is || column == "review_reason" && before["status"] != after["status"] {
			continue // a settlement ends the review
		}
		change := was + " → " + is
		if column != "status" {
			change = column + " " + change
		}
		changes = append(changes, change)
	}
	return strings.Join(changes, "; ")
}

func shownValue(column string, value any) string {
	switch v := value.(type) {
	case float64:
		if strings.HasSuffix(column, "_amount") {
			return Yuan(int64(v))
		}
	case string:
		return v
	}
	return "–"
}

// What names what the action was about.
func (a Action) What(l Locale) string {
	switch {
	case a.OrderID != nil:
		return "#" + formatInt(*a.OrderID)
	case a.Scope != nil:
		return l.Target(store.Scope(*a.Scope), textOf(a.Key))
	}
	var resent struct{ Events []int64 }
	var fixed struct{ Orders []int64 }
	var pruned struct{ Questions, Events int }
	switch {
	case a.Action == "events resend" && json.Unmarshal(a.After, &resent) == nil:
		return l.say(msgWhatEvents, numbersText(resent.Events))
	case a.Action == "doctor --fix" && json.Unmarshal(a.After, &fixed) == nil:
		return l.say(msgWhatOrders, numbersText(fixed.Orders))
	case a.Action == "prune" && json.Unmarshal(a.After, &pruned) == nil:
		return l.say(msgWhatPruned, pruned.Questions, pruned.Events)
	}
	return ""
}

// numbersText lists few numbers. Of many it has the first, and how many there are.
func numbersText(numbers []int64) string {
	if len(numbers) > 5 {
		return fmt.Sprintf("%d… (%d)", numbers[0], len(numbers))
	}
	words := make([]string, len(numbers))
	for i, number := range numbers {
		words[i] = formatInt(number)
	}
	return strings.Join(words, ", ")
}
