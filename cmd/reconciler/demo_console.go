package main

import (
	"context"
	"net"
	"time"

	"reconciler/internal/console"
	"reconciler/internal/operator"
	"reconciler/internal/policy"
	"reconciler/internal/store"
)

// demoConsole are the pages over the demo's database, read-only.
type demoConsole struct {
	address string
	orders  *store.Store
	stop    context.CancelFunc
	ended   chan struct{}
}

// serveDemoConsole serves the pages at their usual port, or at another one where that is taken.
func serveDemoConsole(p *process, url string, rules policy.Rules, rate float64) (*demoConsole, error) {
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		return nil, err
	}
	lang, _ := peopleSettings{}.language(p.getenv) // that of the locale
	orders, err := store.OpenForPages(p.ctx, url)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(p.ctx, "tcp", "127.0.0.1:9465")
	if err != nil {
		listener, err = (&net.ListenConfig{}).Listen(p.ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		orders.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(p.ctx)
	c := &demoConsole{address: listener.Addr().String(), orders: orders, stop: stop, ended: make(chan struct{})}
	options := console.Options{
		Desk:     operator.Desk{Locale: operator.Locale{Lang: lang, Zone: zone}, Store: orders, Rules: rules, Rate: rate},
		Loopback: true, Version: version, Logger: demoLogger(p),
	}
	go func() {
		defer close(c.ended)
		_ = serveConsole(ctx, listener, options) // a demo without pages is a demo
	}()
	return c, nil
}

func (c *demoConsole) closeAll() {
	c.stop()
	<-c.ended
	c.orders.Close()
}
