// Package operator answers the questions of people and does what they order: status, why, plan,
// doctor, review, pauses, incidents, audit. The command line and the console are two skins over it.
//
// # How it is built
//
// Each question is a method of [Desk]. It reads the tables through [store.Store] and asks
// [policy.Rules] about the future, so that it can never say something else than the daemon does.
// The result is a struct with the keys of the JSON output. Its Page method turns it into lines and
// tables of words. What people read stands in catalogue.go, each message in English and in Chinese.
//
// Actions are guarded by the state that the person saw and leave a row in operator_actions, in one
// transaction.
//
// Amounts are fen, and yuan where people read them. Times are shown in the zone of [Locale].
package operator

import (
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// Desk is where a person asks.
type Desk struct {
	Locale

	Store *store.Store
	Rules policy.Rules // the plan of the settings at hand
	Rate  float64      // round trips a second per app id; 0: no limit
	Actor string       // who acts
	Via   string       // "cli" or "console"
}

// newAction is the record of what this person does.
func (d *Desk) newAction(name, reason string) store.Action {
	return store.Action{Actor: d.Actor, Via: d.Via, Action: name, Reason: reason}
}
