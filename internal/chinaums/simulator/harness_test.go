package simulator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler/internal/chinaums"
)

const (
	testApp   = "test-app"
	testKey   = "test-key"
	testMID   = "898340149000005"
	testOrder = "319420230831135026"
)

// clock is a clock that only a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 6, 1, 12, 0, 0, 0, chinaums.China())}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// gateway is a served simulator and a client that signs by hand.
type gateway struct {
	*Simulator
	clock  *clock
	url    string
	client *http.Client
}

func serve(t *testing.T, o Options, orders ...Order) *gateway {
	t.Helper()
	g := &gateway{clock: newClock()}
	o.Now = g.clock.Now
	o.Credentials = testCredentials()
	var err error
	if g.Simulator, err = New(o); err != nil {
		t.Fatal(err)
	}
	for _, order := range orders {
		if err := g.AddOrder(order); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(g)
	transport := &http.Transport{}
	t.Cleanup(func() {
		g.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
	g.url = server.URL
	g.client = &http.Client{Transport: transport}
	return g
}

func testCredentials() []chinaums.Credentials {
	return []chinaums.Credentials{{AppID: testApp, AppKey: testKey}}
}

// order is an order of the test's merchant.
func order(steps ...Step) Order {
	return Order{MID: testMID, MerOrderID: testOrder, Amount: 10_000, Timeline: steps}
}

// question is a request to be made; its empty fields have the values of a good one.
type question struct {
	method, path  string
	authorization string
	nonce, stamp  string
	body          string
	fields        map[string]any // over those of a good body; nil removes one
}

func (g *gateway) body(fields map[string]any) string {
	all := map[string]any{
		"requestTimestamp": g.clock.Now().Format(chinaums.DateTimeLayout),
		"mid":              testMID, "tid": "88880001", "instMid": "MINIDEFAULT", "merOrderId": testOrder,
	}
	maps.Copy(all, fields)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (g *gateway) request(q question) *http.Request {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&q.method, http.MethodPost)
	set(&q.path, QueryPath)
	set(&q.body, g.body(q.fields))
	set(&q.nonce, "nonce")
	set(&q.stamp, g.clock.Now().Format(chinaums.TimestampLayout))
	set(&q.authorization, header(testApp, q.stamp, q.nonce, sign(testApp, testKey, q.stamp, q.nonce, q.body)))
	r, err := http.NewRequestWithContext(context.Background(), q.method, g.url+q.path, strings.NewReader(q.body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", q.authorization)
	return r
}

// received is an answer as it came over the wire.
type received struct {
	status int
	header http.Header
	body   []byte
	err    error // of the transport, or while the body was read
}

func (g *gateway) ask(q question) received {
	response, err := g.client.Do(g.request(q))
	if err != nil {
		return received{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return received{response.StatusCode, response.Header, body, err}
}

// told is an answer in short: its HTTP status, its errCode and its status or message.
func (r received) told() string {
	if r.err != nil {
		return "error: " + r.err.Error()
	}
	var b struct{ ErrCode, ErrMsg, ErrInfo, Status string }
	if err := json.Unmarshal(r.body, &b); err != nil {
		return fmt.Sprintf("%d no JSON", r.status)
	}
	text := b.Status
	if text == "" {
		text = b.ErrMsg + b.ErrInfo
	}
	return fmt.Sprintf("%d %s %s", r.status, b.ErrCode, text)
}

func (g *gateway) told(q question) string { return g.ask(q).told() }

// members are a JSON object's members as they stand, in order and with repetitions.
func (r received) members(t *testing.T) []string {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	if _, err := decoder.Token(); err != nil {
		t.Fatalf("%v in %q", err, r.body)
	}
	var lines []string
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s=%s", name, value))
	}
	return lines
}

// names are the members' names.
func names(members []string) []string {
	var all []string
	for _, m := range members {
		name, _, _ := strings.Cut(m, "=")
		all = append(all, name)
	}
	return all
}

func value(members []string, name string) string {
	i := slices.IndexFunc(members, func(m string) bool { return strings.HasPrefix(m, name+"=") })
	if i < 0 {
		return ""
	}
	return strings.TrimPrefix(members[i], name+"=")
}

func header(appID, stamp, nonce, signature string) string {
	return fmt.Sprintf(`OPEN-BODY-SIG AppId="%s",Timestamp="%s",Nonce="%s",Signature="%s"`, appID, stamp, nonce, signature)
}

// sign is written out here, so that the simulator is not checked against the code that it uses
// itself.
func sign(appID, key, stamp, nonce, body string) string {
	hash := sha256.Sum256([]byte(body))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(appID + stamp + nonce + hex.EncodeToString(hash[:])))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// ordinaryLife is the life of a payment from registration to full refund, each stage for one round
// trip.
func ordinaryLife() []Step {
	return []Step{
		{Code: "NO_ORDER", Times: 1},
		{Status: chinaums.StatusNewOrder, Times: 1},
		{Status: chinaums.StatusWaitBuyerPay, Times: 1},
		{Status: chinaums.StatusTradeSuccess, Times: 1},
		{Status: chinaums.StatusTradeRefund, Times: 1},
		{Status: chinaums.StatusTradeClosed},
	}
}

// expiringLife is the life of a payment that nobody makes: closed after half an hour. The Order
// needs FromCreation.
func expiringLife() []Step {
	return []Step{
		{Status: chinaums.StatusWaitBuyerPay, For: expiry},
		{Status: chinaums.StatusTradeClosed},
	}
}
