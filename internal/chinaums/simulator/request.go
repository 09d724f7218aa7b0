package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"reconciler/internal/chinaums"
)

// incoming is one round trip's request, read once.
type incoming struct {
	now                  time.Time
	method, path, remote string
	header               string // Authorization
	auth                 authorization
	body                 []byte
	query                query
	order                *orderState // nil when the gateway knows none
	count                int         // round trips for this order so far, this one included
}

func newIncoming(r *http.Request, body []byte, now time.Time) *incoming {
	in := &incoming{now: now, method: r.Method, path: r.URL.Path, remote: r.RemoteAddr, body: body, query: parseQuery(body)}
	in.header = strings.Join(r.Header.Values("Authorization"), "\n") // two headers never parse
	in.auth, _ = parseAuthorization(in.header)
	if b, ok := parseBearer(in.header); ok {
		in.auth.AppID = b.AppID
	}
	return in
}

// authScheme is the header's, "" when it is none that is known.
func (in *incoming) authScheme() string {
	for _, scheme := range []string{SchemeBodySig, SchemeAccessToken} {
		if strings.HasPrefix(in.header, scheme+" ") {
			return scheme
		}
	}
	return ""
}

// countedAs is the order number that the round trip is counted under.
func (in *incoming) countedAs() string {
	switch {
	case in.query.MerOrderID != "":
		return in.query.MerOrderID
	case in.order != nil:
		return in.order.MerOrderID
	}
	return in.query.TargetOrderID
}

// query is the request's body. Members that are not text count as missing.
type query struct {
	isObject                            bool
	MID, TID, InstMID                   string
	MerOrderID, TargetOrderID           string
	RequestTimestamp, MsgID, SrcReserve string
	hasMsgID, hasSrcReserve             bool
}

// parseQuery never fails: checkParameters refuses unreadable members. Names are matched exactly, as
// the gateway does.
func parseQuery(body []byte) query {
	var members map[string]any
	err := json.Unmarshal(body, &members)
	q := query{isObject: err == nil && members != nil}
	read := func(name string) (string, bool) {
		text, ok := members[name].(string)
		return text, ok
	}
	q.MID, _ = read("mid")
	q.TID, _ = read("tid")
	q.InstMID, _ = read("instMid")
	q.MerOrderID, _ = read("merOrderId")
	q.TargetOrderID, _ = read("targetOrderId")
	q.RequestTimestamp, _ = read("requestTimestamp")
	q.MsgID, q.hasMsgID = read("msgId")
	q.SrcReserve, q.hasSrcReserve = read("srcReserve")
	return q
}

// checkParameters holds the documented fields and lengths, except that order numbers may have 64
// characters: real ones exceed the documented 32.
func (s *Simulator) checkParameters(in *incoming) *Step {
	if !in.query.isObject {
		return s.badParameter("报文格式错误")
	}
	fields := []struct {
		name, value       string
		shortest, longest int
		required          bool
	}{
		{"requestTimestamp", in.query.RequestTimestamp, 14, 19, true},
		{"mid", in.query.MID, 8, 32, true},
		{"tid", in.query.TID, 2, 32, true},
		{"instMid", in.query.InstMID, 8, 32, false},
		{"merOrderId", in.query.MerOrderID, 6, 64, false},
		{"targetOrderId", in.query.TargetOrderID, 6, 64, false},
		{"msgId", in.query.MsgID, 0, 64, false},
		{"srcReserve", in.query.SrcReserve, 0, 255, false},
	}
	for _, f := range fields {
		n := utf8.RuneCountInString(f.value)
		switch {
		case n == 0 && f.required:
			return s.badParameter(f.name + " 不能为null")
		case n > 0 && (n < f.shortest || n > f.longest):
			return s.badParameter(f.name + " 长度不合法")
		}
	}
	return nil
}

// badParameter answers in either layer, since both of the gateway's check. The trailing comma is
// the gateway's.
func (s *Simulator) badParameter(what string) *Step {
	message := "参数不合法: " + what + ","
	if s.opts.BadRequestAsBusiness {
		return &Step{Code: "BAD_REQUEST", Message: message}
	}
	return &Step{Code: "9001", Message: message}
}

func (s *Simulator) checkRequestStamp(in *incoming) *Step {
	text := in.query.RequestTimestamp
	stamp, err := parseStamp(chinaums.DateTimeLayout, text)
	if err != nil && s.opts.LenientTimestamp {
		stamp, err = parseStamp(chinaums.TimestampLayout, text)
	}
	if err != nil {
		return s.badParameter("requestTimestamp 格式错误")
	}
	if in.now.Sub(stamp).Abs() > s.opts.ClockWindow {
		return &Step{Code: "ABNORMAL_REQUEST_TIME"}
	}
	return nil
}
