package simulator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reconciler/internal/chinaums"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{Keep: 3}, order(Step{Code: "NO_ORDER", Times: 1}, Step{Fault: FaultClose, Times: 1}, Step{Status: "TRADE_SUCCESS"}))
	g.told(question{fields: map[string]any{"merOrderId": "3194forgotten"}})
	g.told(question{nonce: "n1"})
	g.clock.advance(time.Second)
	g.told(question{nonce: "n2"})
	g.told(question{authorization: "none", body: "A"})
	got := g.Requests()
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, chinaums.China())
	first := Request{
		Time: at, Method: "POST", Path: QueryPath, Authorization: true, Scheme: SchemeBodySig, AppID: testApp, Timestamp: "20260601120000", Nonce: "n1",
		RequestTimestamp: "2026-06-01 12:00:00", MID: testMID, TID: "88880001", InstMID: "MINIDEFAULT", MerOrderID: testOrder,
		RoundTrip: 1, Answer: Answer{HTTPStatus: 200, Code: "NO_ORDER"},
	}
	second := first
	second.Time, second.Timestamp, second.Nonce = at.Add(time.Second), "20260601120001", "n2"
	second.RequestTimestamp, second.RoundTrip, second.Answer = "2026-06-01 12:00:01", 2, Answer{Fault: FaultClose}
	third := Request{
		Time: second.Time, Method: "POST", Path: QueryPath, Authorization: true, RoundTrip: 4,
		Answer: Answer{HTTPStatus: 412, Code: "1000"},
	}
	ignore := cmpopts.IgnoreFields(Request{}, "Remote", "BodyHash")
	if diff := cmp.Diff([]Request{first, second, third}, got, ignore); diff != "" {
		t.Error(diff)
	}
	const hashOfA = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd"
	if got[0].Remote == "" || got[0].BodyHash == got[1].BodyHash || got[2].BodyHash != hashOfA {
		t.Errorf("remote or body hash: %+v", got)
	}
	if n := g.Count(testOrder); n != 2 {
		t.Errorf("%d round trips for the order", n)
	}
	if n := g.Total(); n != 4 {
		t.Errorf("%d round trips", n)
	}
}

// TestRequestsKeepNoSignature looks at everything that is kept, whatever its name.
func TestRequestsKeepNoSignature(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS"}))
	r := g.request(question{})
	a, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	g.told(question{})
	if text := fmt.Sprintf("%+v", g.Requests()); strings.Contains(text, a.Signature) || strings.Contains(text, testKey) {
		t.Errorf("a secret is kept in %s", text)
	}
}

func TestCountByTarget(t *testing.T) {
	t.Parallel()
	o := order(Step{Status: "TRADE_SUCCESS"})
	o.TargetOrderID = "4200000001"
	g := serve(t, Options{}, o)
	g.told(question{fields: map[string]any{"merOrderId": nil, "targetOrderId": "4200000001"}})
	g.told(question{fields: map[string]any{"merOrderId": nil, "targetOrderId": "4200000002"}})
	if n := g.Count(testOrder); n != 1 {
		t.Errorf("%d round trips for the order", n)
	}
	if n := g.Count("4200000002"); n != 1 {
		t.Errorf("%d round trips for the number that nobody knows", n)
	}
}
