// Package simulator is a faithful fake of the payment gateway's query: an http.Handler that is
// scripted per order.
//
// A round trip passes the layers that the real one passes, and the first that objects answers:
//
//	outage         a gateway-wide timeline, before everything else
//	path           anything but POST on a served path is a 404 page
//	authorization  the signature over the raw body, before it is parsed, or an access token: HTTP 412, 1000
//	entitlement    of the app id to the path: HTTP 412, 1001
//	parameters     HTTP 412, 9001, or HTTP 200, BAD_REQUEST
//	request stamp  HTTP 200, ABNORMAL_REQUEST_TIME
//	merchant       HTTP 200, NO_MERCHANT, INACTIVE_MERCHANT, …
//	order          by mid and merOrderId, else targetOrderId: HTTP 200, NO_ORDER
//
// Access tokens are given at /v1/token/access and /v2/token/access: checked like a question's
// signature, at most ten of an app live at once. Only an outage changes what is answered there.
//
// What an order then answers is a [Step] of its timeline: a trade status, a code, or a [Fault] of
// the network, its body bent by any number of [Mutation]s. All that a script leaves open (serial
// numbers, buyer, times) derives from the order's number. All chance derives from the seed, the
// order and its count of round trips. So a run repeats whatever the interleaving.
//
// Where nothing is known of the real gateway, the simulator assumes, and the option says so: how
// far clocks may differ, whether a nonce may repeat, what a rate limit looks like.
package simulator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler/internal/chinaums"
)

// QueryPath is where the gateway answers the query of the mini-program product.
const QueryPath = "/v1/netpay/wx/mini-pre-query"

const (
	defaultClockWindow = 10 * time.Minute
	defaultKeep        = 10_000
	// chinaOffset is what a client without the right zone is off by. No window may let it pass.
	chinaOffset = 8 * time.Hour
	// maxRequest is far above any request of this endpoint.
	maxRequest = 64 << 10
)

// Profile is the shape of the bodies.
type Profile string

// The profiles. The vendor's page documents one shape; every body that was seen in the wild has
// another.
const (
	ProfileLive     Profile = "live"     // as real bodies: absent fields left out, responseTimestamp, numbers as numbers
	ProfileDocument Profile = "document" // as the vendor's page: every field, "" where empty, responseTimeStamp, totalAmount as text
)

// Options say what the gateway is like. The zero value is a gateway that knows no app: it refuses
// every signature.
type Options struct {
	Credentials []chinaums.Credentials // the apps that are known
	Now         func() time.Time       // the gateway's clock; nil = time.Now
	Seed        uint64                 // of everything that happens by chance
	Profile     Profile                // "" = ProfileLive
	Paths       []string               // served; none = QueryPath
	Unscripted  []Step                 // the timeline of each order that nobody added; none = NO_ORDER
	Keep        int                    // how many Requests and nonces are kept, the latest; 0 = 10,000

	ClockWindow          time.Duration // how far requestTimestamp may be off (assumed); 0 = 10 minutes, always below 8 hours
	LenientTimestamp     bool          // requestTimestamp may also be 14 digits, as some clients send it
	AuthWindow           time.Duration // how far the header's Timestamp may be off (assumed); 0 = not checked
	NonceReplay          bool          // refuse a nonce that the app has used before (assumed)
	TokenLife            time.Duration // of an access token, whole seconds; 0 = 1 hour
	StrictHeader         bool          // take the Authorization header in the documented form only
	BadRequestAsBusiness bool          // bad parameters are HTTP 200, BAD_REQUEST instead of HTTP 412, 9001
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Profile == "" {
		o.Profile = ProfileLive
	}
	if len(o.Paths) == 0 {
		o.Paths = []string{QueryPath}
	}
	if o.Keep == 0 {
		o.Keep = defaultKeep
	}
	if o.ClockWindow == 0 {
		o.ClockWindow = defaultClockWindow
	}
	if o.TokenLife == 0 {
		o.TokenLife = defaultTokenLife
	}
	return o
}

func (o Options) findProblems() problems {
	var p problems
	p.refuseIf(o.Profile != ProfileLive && o.Profile != ProfileDocument, "unknown profile %q", o.Profile)
	p.refuseIf(o.Keep < 0, "keep %d is negative", o.Keep)
	p.refuseIf(o.ClockWindow < 0 || o.ClockWindow >= chinaOffset, "clock window %v is not between 0 and %v", o.ClockWindow, chinaOffset)
	p.refuseIf(o.AuthWindow < 0, "auth window %v is negative", o.AuthWindow)
	p.refuseIf(o.TokenLife < time.Second || o.TokenLife%time.Second != 0, "token life %v is not whole seconds, at least one", o.TokenLife)
	for _, path := range o.Paths {
		p.refuseIf(!strings.HasPrefix(path, "/"), "path %q does not begin with a slash", path)
	}
	for i, c := range o.Credentials {
		p.refuseIf(c.AppID == "" || c.AppKey == "", "app %d: id or key is missing", i+1)
	}
	return p
}

// Simulator is the fake gateway. Its methods may be called at any time, also while it serves.
type Simulator struct {
	opts    Options
	apps    map[string]chinaums.Credentials
	release chan struct{} // closed by Close
	closing sync.Once

	mu          sync.Mutex // never held while waiting or writing
	orders      map[orderKey]*orderState
	targets     map[orderKey]*orderState // the same, by targetOrderId
	merchants   map[string]Merchant
	notEntitled map[string]bool
	outage      *timeline
	nonces      *nonces
	tokens      *tokens
	log         *requestLog
}

var _ http.Handler = (*Simulator)(nil)

// New returns a gateway that knows no order yet.
func New(o Options) (*Simulator, error) {
	o = o.withDefaults()
	errs := append(o.findProblems(), checkSteps("unscripted", o.Unscripted, checkOrderStep)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Simulator{
		opts:        o,
		apps:        map[string]chinaums.Credentials{},
		release:     make(chan struct{}),
		orders:      map[orderKey]*orderState{},
		targets:     map[orderKey]*orderState{},
		merchants:   map[string]Merchant{},
		notEntitled: map[string]bool{},
		outage:      newTimeline(nil),
		nonces:      newNonces(o.Keep),
		tokens:      newTokens(),
		log:         newRequestLog(o.Keep),
	}
	for _, c := range o.Credentials {
		s.apps[c.AppID] = c
	}
	return s, nil
}

// AddOrder makes an order known, or replaces it and starts its timeline again.
func (s *Simulator) AddOrder(o Order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o = o.withDefaults(s.currentTime())
	if err := errors.Join(o.findProblems(s.merchants[o.MID].Prefix)...); err != nil {
		return fmt.Errorf("order %s: %w", o.MerOrderID, err)
	}
	s.putOrder(o)
	return nil
}

func (s *Simulator) putOrder(o Order) *orderState {
	key := orderKey{o.MID, o.MerOrderID}
	if old, ok := s.orders[key]; ok && s.targets[old.targetKey()] == old {
		delete(s.targets, old.targetKey())
	}
	state := newOrderState(o)
	s.orders[key] = state
	s.targets[state.targetKey()] = state
	return state
}

// SetMerchant switches a merchant to a state, and sets the prefix that its later orders must have.
func (s *Simulator) SetMerchant(m Merchant) error {
	if err := errors.Join(m.findProblems()...); err != nil {
		return fmt.Errorf("merchant %s: %w", m.MID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.merchants[m.MID] = m
	return nil
}

// SetEntitled switches an app's right to ask at all. Without it the answer is HTTP 412, 1001.
func (s *Simulator) SetEntitled(appID string, entitled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notEntitled[appID] = !entitled
}

// SetOutage puts a timeline before all else, or without steps ends it. A step that has a code, a
// verbatim body or a fault that needs no body answers at once. Any other bends what is answered as
// usual: its delay, HTTP status, fault and mutations are added. Unlike an order's last step, an
// outage's last one ends with its limits.
func (s *Simulator) SetOutage(steps ...Step) error {
	if err := errors.Join(checkSteps("outage", steps, checkOutageStep)...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = newTimeline(steps)
	return nil
}

// Paths returns where questions are answered, at least one path.
func (s *Simulator) Paths() []string { return slices.Clone(s.opts.Paths) }

// Requests returns the latest round trips, oldest first.
func (s *Simulator) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.requests.latestItems()
}

// Count returns how many round trips asked for an order, whatever they were answered; for all
// merchants together.
func (s *Simulator) Count(merOrderID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.counts[merOrderID]
}

// Total returns how many round trips there were at all.
func (s *Simulator) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.total
}

// Close lets go of every client that is kept waiting, now and later. A server that shuts down
// gracefully waits for handlers that hang, so it is closed after the simulator, or calls this
// itself: http.Server has RegisterOnShutdown.
func (s *Simulator) Close() {
	s.closing.Do(func() { close(s.release) })
}

// ServeHTTP answers one round trip.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// An unreadable rest is left out: the signature over what did arrive then fails, as it should.
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	s.sendAnswer(w, r, s.answerRequest(newIncoming(r, body, s.currentTime())))
}

func (s *Simulator) currentTime() time.Time {
	return s.opts.Now().In(chinaums.China())
}

// answerRequest decides and records. What it returns needs no lock any more.
func (s *Simulator) answerRequest(in *incoming) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.order = s.findOrder(in.query)
	in.count = s.log.countOne(in.countedAs())
	reply := s.decideReply(in)
	a := reply.renderAnswer(in, s.opts.Profile)
	s.log.requests.pushItem(in.newRecord(a.Answer))
	return a
}

func (s *Simulator) decideReply(in *incoming) reply {
	i, on := s.outage.nextStep(in.now, s.drawsFor("outage", in))
	if !on {
		return s.passLayers(in)
	}
	step := s.outage.steps[i]
	if step.answersAlone() {
		return reply{Step: step}
	}
	return s.passLayers(in).bentBy(step)
}

// passLayers returns the answer of the first layer that objects, else the order's.
func (s *Simulator) passLayers(in *incoming) reply {
	if in.asksForToken() {
		return s.giveToken(in)
	}
	layers := []func(*incoming) *Step{
		s.checkPath, s.checkAuthorization, s.checkEntitlement, s.checkParameters, s.checkRequestStamp, s.checkMerchant,
	}
	for _, layer := range layers {
		if refusal := layer(in); refusal != nil {
			return reply{Step: *refusal}
		}
	}
	return s.orderReply(in)
}

func (s *Simulator) checkPath(in *incoming) *Step {
	if in.method == http.MethodPost && slices.Contains(s.opts.Paths, in.path) {
		return nil
	}
	return &Step{Fault: FaultHTML404}
}

func (s *Simulator) checkMerchant(in *incoming) *Step {
	if code := s.merchants[in.query.MID].State.errCode(); code != "" {
		return &Step{Code: code}
	}
	return nil
}

// findOrder looks up by the merchant's number, then by the channel's.
func (s *Simulator) findOrder(q query) *orderState {
	if o, ok := s.orders[orderKey{q.MID, q.MerOrderID}]; ok {
		return o
	}
	return s.targets[orderKey{q.MID, q.TargetOrderID}]
}

// orderReply answers with the step that the order's life has reached.
func (s *Simulator) orderReply(in *incoming) reply {
	if in.order == nil && len(s.opts.Unscripted) > 0 && in.query.MerOrderID != "" {
		in.order = s.putOrder(unscriptedOrder(in, s.opts.Unscripted))
	}
	o := in.order
	if o == nil || in.query.InstMID != "" && in.query.InstMID != o.InstMID {
		return reply{Step: Step{Code: "NO_ORDER"}}
	}
	return o.replyAt(in.now, s.drawsFor(o.MID, in))
}
