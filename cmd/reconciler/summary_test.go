package main_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// summary is the report of run-once with --output json.
type summary struct {
	Selected   int            `json:"selected"`
	Asked      int            `json:"asked"`
	Settled    int            `json:"settled"`
	Deferred   int            `json:"deferred"`
	NotFound   int            `json:"not_found"`
	Review     int            `json:"review"`
	NoAnswer   int            `json:"no_answer"`
	Refused    int            `json:"refused"`
	Superseded int            `json:"superseded"`
	ByStatus   map[string]int `json:"by_status"`
	Seconds    float64        `json:"duration_seconds"`
	DryRun     bool           `json:"dry_run"`
	Changes    []change       `json:"changes"`
	Orders     []named        `json:"orders"`
}

// named is the end of a named order.
type named struct {
	MID        *string `json:"mid"`
	MerOrderID string  `json:"mer_order_id"`
	ID         *int64  `json:"id"`
	Before     *string `json:"before"`
	After      *string `json:"after"`
	Decision   string  `json:"decision"`
	Reason     string  `json:"reason"`
	Skipped    string  `json:"skipped"`
}

type change struct {
	ID         int64  `json:"id"`
	MID        string `json:"mid"`
	MerOrderID string `json:"mer_order_id"`
	From       string `json:"from"`
	To         string `json:"to"`
	Decision   string `json:"decision"`
	Reason     string `json:"reason"`
}

// summary runs a command and reads the summary, which must be all that is on stdout.
func (w *world) summary(t *testing.T, code int, args ...string) (result, summary) {
	t.Helper()
	r := w.invoke(t, append(args, "--output=json")...)
	r.want(t, code)
	return r, readSummary(t, r.stdout)
}

func readSummary(t *testing.T, stdout string) summary {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	var s summary
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("the summary cannot be read: %v\n%s", err, stdout)
	}
	if decoder.More() {
		t.Errorf("stdout holds more than the summary:\n%s", stdout)
	}
	return s
}
