package main_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
)

// gateway is the simulator behind a gate that can keep requests waiting: what happens while a
// question is in flight is then no matter of chance.
type gateway struct {
	*simulator.Simulator

	url string

	mu    sync.Mutex
	holds []*hold
}

// hold keeps the requests of some orders waiting until it is released.
type hold struct {
	gateway *gateway
	numbers []string // of the orders; none: all
	arrived int
	open    chan struct{}
	release func()
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	s, err := simulator.New(simulator.Options{Credentials: []chinaums.Credentials{{AppID: appID, AppKey: appKey}, {AppID: otherAppID, AppKey: appKey}}})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Simulator: s}
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		for _, h := range g.holds {
			h.release()
		}
		g.Close()
		server.Close()
	})
	g.url = server.URL
	return g
}

// hold begins to keep requests waiting, of these orders or of all.
func (g *gateway) hold(numbers ...string) *hold {
	h := &hold{gateway: g, numbers: numbers, open: make(chan struct{})}
	h.release = sync.OnceFunc(func() { close(h.open) })
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = append(g.holds, h)
	return h
}

// await waits until as many requests are waiting, or were.
func (h *hold) await(t *testing.T, n int) {
	t.Helper()
	eventually(t, "requests arrive at the gateway", func() bool { return h.count() >= n })
}

func (h *hold) count() int {
	h.gateway.mu.Lock()
	defer h.gateway.mu.Unlock()
	return h.arrived
}

// ServeHTTP passes a request on as soon as nothing holds it.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for _, h := range g.holding(body) {
		select {
		case <-h.open:
		case <-r.Context().Done(): // the client has left
			panic(http.ErrAbortHandler)
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.Simulator.ServeHTTP(w, r)
}

func (g *gateway) holding(body []byte) []*hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	var holding []*hold
	for _, h := range g.holds {
		about := func(number string) bool { return bytes.Contains(body, []byte(`"`+number+`"`)) }
		if len(h.numbers) == 0 || slices.ContainsFunc(h.numbers, about) {
			h.arrived++
			holding = append(holding, h)
		}
	}
	return holding
}

// asked lists the orders that the gateway was asked about, each once, in the order of their
// numbers.
func (g *gateway) asked() []string { return g.askedAfter(0) }

// askedAfter is the same without the first requests.
func (g *gateway) askedAfter(requests int) []string {
	var numbers []string
	for _, r := range g.Requests()[requests:] {
		numbers = append(numbers, r.MerOrderID)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
