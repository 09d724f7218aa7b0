package chinaums

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Request names the order that is asked for. Lengths are in characters.
type Request struct {
	MID           string // merchant, 8–32, required
	TID           string // terminal, 2–32, required
	InstMID       string // business type, 8–32 if given; a wrong one is answered with NO_ORDER
	TargetOrderID string // the channel's number, 6–64; one of the two numbers is required
	MerOrderID    string // the merchant's number, 6–64: the documents say 32, but real numbers are longer
	NewConnection bool   // ask on a connection that no other question uses before or after
}

var errNoOrderNumber = errors.New("merOrderId or targetOrderId must be given")

// Validate returns nil or an *Error of ClassBadRequest that names every bad field. A request that
// it refuses is never sent.
func (r Request) Validate() error {
	problems := []error{
		checkText("mid", r.MID, 8, 32),
		checkText("tid", r.TID, 2, 32),
		checkOptional("instMid", r.InstMID, 8, 32),
		checkOptional("targetOrderId", r.TargetOrderID, 6, 64),
		checkOptional("merOrderId", r.MerOrderID, 6, 64),
	}
	if r.TargetOrderID == "" && r.MerOrderID == "" {
		problems = append(problems, errNoOrderNumber)
	}
	if err := errors.Join(problems...); err != nil {
		return &Error{Class: ClassBadRequest, Err: err}
	}
	return nil
}

func checkOptional(name, value string, shortest, longest int) error {
	if value == "" {
		return nil
	}
	return checkText(name, value, shortest, longest)
}

func checkText(name, value string, shortest, longest int) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("%s is not valid UTF-8", name)
	}
	n := 0
	for _, r := range value {
		if unicode.IsControl(r) {
			return fmt.Errorf("%s holds the control character %U", name, r)
		}
		n++
	}
	if n < shortest || n > longest {
		return fmt.Errorf("%s has %d characters, must have %d to %d", name, n, shortest, longest)
	}
	return nil
}

// contradictsTrade tells whether an answer names another merchant or another order than the
// request.
func (r Request) contradictsTrade(t Trade) bool {
	differs := func(asked string, answered Field[string]) bool {
		return asked != "" && answered.Present && (answered.Err != nil || answered.Value != asked)
	}
	return differs(r.MID, t.MID) || differs(r.MerOrderID, t.MerOrderID) || differs(r.TargetOrderID, t.TargetOrderID)
}

// wireRequest has the documents' key order, and every key also when it is empty. MsgID and
// SrcReserve are always empty: the gateway would only repeat them.
type wireRequest struct {
	MsgID            string `json:"msgId"`
	RequestTimestamp string `json:"requestTimestamp"`
	SrcReserve       string `json:"srcReserve"`
	MID              string `json:"mid"`
	TID              string `json:"tid"`
	InstMID          string `json:"instMid"`
	TargetOrderID    string `json:"targetOrderId"`
	MerOrderID       string `json:"merOrderId"`
}

// wireBody returns the bytes that are signed and sent, stamped with the given time of China.
func (r Request) wireBody(now time.Time) ([]byte, error) {
	return compactJSON(wireRequest{
		RequestTimestamp: now.Format(DateTimeLayout),
		MID:              r.MID,
		TID:              r.TID,
		InstMID:          r.InstMID,
		TargetOrderID:    r.TargetOrderID,
		MerOrderID:       r.MerOrderID,
	})
}

// compactJSON is json.Marshal without its escaping of <, > and &.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
