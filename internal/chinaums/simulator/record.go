package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"reconciler/internal/chinaums"
)

// Request is what is kept of one round trip. Neither a signature nor an access token is kept.
type Request struct {
	Time          time.Time // of arrival, by the gateway's clock
	Method, Path  string
	Remote        string // address of the client
	Authorization bool   // whether there was such a header; what follows is from it, unverified, "" when it does not parse
	Scheme        string // SchemeBodySig, SchemeAccessToken or ""
	AppID         string // whose token it is, where the header has a good token
	Timestamp     string // this and the Nonce: of a request for a token, as the AppID, from its body
	Nonce         string

	BodyHash         string // lower-case hex of SHA-256 of the body; what follows is from the body, "" when it cannot be read
	RequestTimestamp string
	MsgID            string
	MID, TID         string
	InstMID          string
	MerOrderID       string
	TargetOrderID    string

	RoundTrip int // which one of this order, from 1; of all, where the body names no order
	Answer    Answer
}

// Answer is what was decided to answer, before mutations bent it. It is known before a delay
// begins.
type Answer struct {
	HTTPStatus int             // 0 when the fault leaves the client without one
	Code       string          // errCode; "" when the answer is no answer of the gateway's
	Status     chinaums.Status // trade status
	Fault      Fault
	Delay      time.Duration
}

func (in *incoming) newRecord(a Answer) Request {
	hash := sha256.Sum256(in.body)
	return Request{
		Time:          in.now,
		Method:        in.method,
		Path:          in.path,
		Remote:        in.remote,
		Authorization: in.header != "",
		Scheme:        in.authScheme(),
		AppID:         in.auth.AppID,
		Timestamp:     in.auth.Timestamp,
		Nonce:         in.auth.Nonce,

		BodyHash:         hex.EncodeToString(hash[:]),
		RequestTimestamp: in.query.RequestTimestamp,
		MsgID:            in.query.MsgID,
		MID:              in.query.MID,
		TID:              in.query.TID,
		InstMID:          in.query.InstMID,
		MerOrderID:       in.query.MerOrderID,
		TargetOrderID:    in.query.TargetOrderID,

		RoundTrip: in.count,
		Answer:    a,
	}
}

// requestLog keeps the latest requests, and counts all of them.
type requestLog struct {
	requests ring[Request]
	counts   map[string]int
	total    int
}

func newRequestLog(keep int) *requestLog {
	return &requestLog{requests: ring[Request]{size: keep}, counts: map[string]int{}}
}

// countOne counts a round trip and returns how many there were for that order.
func (l *requestLog) countOne(merOrderID string) int {
	l.total++
	if merOrderID == "" {
		return l.total
	}
	l.counts[merOrderID]++
	return l.counts[merOrderID]
}

// ring keeps the latest items, at most size of them.
type ring[T any] struct {
	size  int
	items []T
	next  int // the oldest item, once it is full
}

// pushItem returns the item that had to go, if one had to.
func (r *ring[T]) pushItem(item T) (gone T, full bool) {
	if len(r.items) < r.size {
		r.items = append(r.items, item)
		return gone, false
	}
	gone, r.items[r.next] = r.items[r.next], item
	r.next = (r.next + 1) % r.size
	return gone, true
}

// latestItems returns a copy, oldest first.
func (r *ring[T]) latestItems() []T {
	return append(append(make([]T, 0, len(r.items)), r.items[r.next:]...), r.items[:r.next]...)
}
