// Package console serves the web pages: what status, why, review, pauses, incidents, events and
// audit say, in a browser, and the four actions that change something.
//
// # How it is built
//
// It is a second skin over [operator.Desk], beside the command line. It has no SQL, no rules and no
// words of its own: the words stand in the catalogue of operator, in English and Chinese. Pages are
// html/template files, parsed once for each language. Plots are inline SVG. Everything works
// without JavaScript.
//
// # What keeps it safe
//
// It is read-only unless actions are allowed. On loopback everybody may read; on any other address,
// and for each action, a person logs in. An action is prepared twice. The first POST shows before
// and after with a digest of the state. The second one repeats the digest, and writes only if it
// still holds. A strict Content-Security-Policy, cross-origin protection, SameSite cookies and no
// caching hold for every answer. Buyer ids are masked wherever they stand.
//
// Sessions live in memory: a restart ends them. Times are in the zone of the settings, amounts in
// yuan.
package console

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"reconciler/internal/operator"
)

// Options are what a console is made from.
type Options struct {
	Desk     operator.Desk // without a person: Actor is set for each action
	Users    *Users        // nil: nobody can log in
	Actions  bool          // operators may act
	Loopback bool          // it listens on loopback alone, so reading needs no log-in
	AppIDs   []string      // of the settings at hand, which may be paused
	Version  string
	Logger   *slog.Logger
}

// Console answers requests. It is safe for use by many goroutines.
type Console struct {
	Options

	pages    map[string]*pages // by language
	sessions *sessions
	attempts *attempts
}

// New makes a console. It refuses options under which nobody could log in where a log-in is needed.
func New(o Options) (*Console, error) {
	if o.Users == nil && (o.Actions || !o.Loopback) {
		return nil, errors.New("a users file is required")
	}
	o.Desk.Via = "console"
	c := &Console{Options: o, pages: make(map[string]*pages), sessions: newSessions(), attempts: newAttempts()}
	for _, lang := range []string{"en", "zh"} {
		parsed, err := parsePages(operator.Locale{Lang: lang, Zone: o.Desk.Zone})
		if err != nil {
			return nil, err
		}
		c.pages[lang] = parsed
	}
	return c, nil
}

// IsLoopback reports whether an address to listen on is reached from this machine alone.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// Handler is the console as a handler.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	reads := func(pattern string, page func(*visit) error) {
		mux.Handle("GET "+pattern, c.handleVisit(page, c.maySee))
	}
	acts := func(pattern string, page func(*visit) error) {
		mux.Handle("POST "+pattern, c.handleVisit(page, c.mayAct))
		reads(pattern, showObject) // a preview's address, opened again or passed on
	}
	open := func(pattern string, page func(*visit) error) { mux.Handle(pattern, c.handleVisit(page, nil)) }

	reads("/{$}", c.showOverview)
	reads("/orders", c.showOrders)
	reads("/orders.csv", c.ordersCSV)
	reads("/orders/{id}", c.showOrder)
	reads("/review", c.showReview)
	reads("/review.csv", c.reviewCSV)
	reads("/gateway", c.showGateway)
	reads("/events", c.showEvents)
	reads("/audit", c.showAudit)
	reads("/audit.csv", c.auditCSV)
	acts("/orders/{id}/resolve", c.resolveOrder)
	acts("/orders/{id}/retry", c.retryOrder)
	acts("/gateway/pause", c.startPause)
	acts("/gateway/resume", c.endPause)
	open("GET /login", c.showLogin)
	open("POST /login", c.logIn)
	open("POST /logout", c.logOut)
	open("GET /assets/{name}", c.serveAsset)
	open("/", func(v *visit) error { return c.noRoute(mux, v) })
	return c.guardRequests(mux)
}

// requestPatience bounds the whole of one request.
const requestPatience = time.Minute

// Server is an HTTP server of the console, with limits against slow and large requests.
func (c *Console) Server() *http.Server {
	return &http.Server{
		Handler: c.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * requestPatience,
		IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(c.Logger.With(slog.String("component", "console")).Handler(), slog.LevelWarn),
	}
}
