package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/schollz/progressbar/v3"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/credentials"
	"reconciler/internal/operator"
	"reconciler/internal/ops"
	"reconciler/internal/policy"
	"reconciler/internal/poller"
	"reconciler/internal/postgres"
	"reconciler/internal/store"
	"reconciler/internal/webhook"
)

const (
	demoDatabase = "postgres"
	demoPatience = 50 * time.Second // the demo fails when its orders take longer
	demoTimeout  = 500 * time.Millisecond

	demoAppID, demoAppKey = "reconciler-demo-app", "reconciler-demo-key"
)

type demoCommand struct {
	Keep bool `name:"keep" help:"Keep everything running at the end, until Ctrl-C."`
}

// demo is the whole world on one machine.
type demo struct {
	script  script
	server  *postgres.Server
	gateway *gatewayServer
	orders  *store.Store
	poller  *poller.Poller

	heartbeat *operator.Heartbeat

	clients *gatewayClients

	rules     policy.Rules
	rate      float64
	console   *demoConsole  // with --keep
	receiver  *demoReceiver // with --keep
	health    *ops.Server   // with --keep
	metrics   *ops.Metrics
	deliverer *webhook.Deliverer
}

// Run plays the script and fails unless every order ends as scripted.
func (c *demoCommand) Run(p *process) error {
	if err := p.checkSettings(); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "Starting a private Postgres and a simulated gateway ...")
	d, err := newDemo(p)
	if d != nil {
		defer d.closeAll()
	}
	if err == nil && c.Keep {
		if err = d.startWebhook(p); err == nil {
			d.console, err = serveDemoConsole(p, d.server.URL(demoDatabase), d.rules, d.rate)
		}
		if err == nil {
			err = d.serveMetrics(p)
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d orders of unknown outcome; the daemon asks %s about each.\n", len(d.script.orders), d.gateway.address)
	ctx, stop := context.WithCancel(p.ctx)
	daemon := make(chan struct{})
	go func() {
		defer close(daemon)
		d.poller.Run(ctx, cron.Every(time.Second))
	}()
	beats := make(chan struct{})
	go func() { // so that the operator's commands see a daemon
		defer close(beats)
		d.heartbeat.Run(ctx)
	}()
	delivered := d.deliverEvents(ctx)
	defer func() { stop(); <-daemon; <-beats; delivered() }()
	states, err := d.watchOrders(p)
	if err != nil {
		return err
	}
	err = d.printOutcomes(p.stdout, states)
	d.printHints(p.stdout, c.Keep)
	if c.Keep {
		<-p.ctx.Done()
	}
	return err
}

func newDemo(p *process) (*demo, error) {
	d := &demo{script: newScript(time.Now()), metrics: ops.NewMetrics()}
	var err error
	if d.server, err = postgres.Start(p.ctx, postgres.Options{}); err != nil {
		return d, err
	}
	if d.orders, err = store.Open(p.ctx, d.server.URL(demoDatabase)); err != nil {
		return d, err
	}
	if _, err = d.orders.MigrateUp(p.ctx); err != nil {
		return d, err
	}
	if err = d.orders.Insert(p.ctx, d.script.orders); err != nil {
		return d, err
	}
	return d, d.startGateway(p)
}

// startGateway starts the gateway and makes the daemon. The plan is compressed from days to
// seconds.
func (d *demo) startGateway(p *process) error {
	app := chinaums.Credentials{AppID: demoAppID, AppKey: demoAppKey}
	gateway, err := simulator.New(simulator.Options{Credentials: []chinaums.Credentials{app}})
	if err != nil {
		return err
	}
	for _, o := range d.script.gateway {
		if err := gateway.AddOrder(o); err != nil {
			return err
		}
	}
	if d.gateway, err = serveGateway(p.ctx, "127.0.0.1:0", gateway); err != nil {
		return err
	}
	r := resolved{
		clients: newGatewayClients(chinaums.Options{
			BaseURL: "http://" + d.gateway.address, Path: simulator.QueryPath, Timeout: demoTimeout, Concurrency: 32,
		}, []credentials.App{{Credentials: app}}),
		options: poller.Options{
			Observer: d.metrics, Worker: "demo", Concurrency: 32, Rate: 200, RequestTimeout: demoTimeout, Lease: 10 * time.Second,
			Rules: policy.Rules{Plan: policy.Plan{
				Initial: 500 * time.Millisecond, Multiplier: 2, Max: 2 * time.Second, Jitter: 0.1,
				SlowAfter: 24 * time.Hour, GiveUpAfter: 168 * time.Hour, NotFoundAfter: 2 * time.Hour,
			}},
		},
	}
	d.clients, d.rules, d.rate = r.clients, r.options.Rules, r.options.Rate
	if d.poller, err = r.newPoller(d.orders, demoLogger(p)); err != nil {
		return err
	}
	d.heartbeat = r.newHeartbeat(p, d.orders, d.poller, demoLogger(p))
	return nil
}

// demoLogger is quiet unless asked: the reviews of the script are no news.
func demoLogger(p *process) *slog.Logger {
	if p.log.Level == "info" {
		p.log.Level = "error"
	}
	return p.newLogger()
}

// watchOrders shows the progress until every order has ended as scripted, or too much
// time has passed.
func (d *demo) watchOrders(p *process) ([]store.State, error) {
	progress := d.showProgress(p)
	defer progress(-1)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(demoPatience)
	for {
		states, err := d.orders.States(p.ctx)
		if err != nil {
			return nil, err
		}
		_, done := d.script.countRight(states)
		if progress(done); done == len(d.script.orders) {
			return states, nil
		}
		select {
		case <-p.ctx.Done():
			return nil, errors.New("stopped before the orders had ended")
		case <-timeout:
			return states, nil
		case <-tick.C:
		}
	}
}

// showProgress returns a function that shows a bar on a terminal, else a line per change. -1 ends
// it.
func (d *demo) showProgress(p *process) func(done int) {
	total := len(d.script.orders)
	if !isTerminal(p.stderr) {
		last := -1
		return func(done int) {
			if done > last {
				last = done
				fmt.Fprintf(p.stdout, "%3d of %d orders have ended\n", done, total)
			}
		}
	}
	bar := progressbar.NewOptions(total, progressbar.OptionSetWriter(p.stderr), progressbar.OptionShowCount(), progressbar.OptionSetDescription("ended"))
	return func(done int) {
		if done < 0 {
			fmt.Fprintln(p.stderr)
			return
		}
		_ = bar.Set(done)
	}
}

// printOutcomes compares what became of the orders with the script's truth.
func (d *demo) printOutcomes(w io.Writer, states []store.State) error {
	right, total := d.script.countRight(states)
	questions, events := 0, 0
	for _, s := range states {
		questions += s.Queries
		events += s.Events
	}
	rows := []operator.Row{operator.RowOf(""), operator.RowOf("WHAT HAPPENED TO THE PAYMENT", "ENDS AS", "ORDERS", "RIGHT")}
	for i, f := range d.script.fates {
		rows = append(rows, operator.RowOf(f.name, f.endInWords(), strconv.Itoa(f.orders), strconv.Itoa(right[i])))
	}
	rows = append(rows, operator.RowOf("all", "", strconv.Itoa(len(d.script.orders)), strconv.Itoa(total)))
	if err := printPage(w, operator.Page{Rows: rows}, false); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d questions in the ledger, %d requests at the gateway, %d events for the application.\n",
		questions, d.gateway.gateway.Total(), events)
	if total != len(d.script.orders) {
		return fmt.Errorf("%s not end as scripted", pluralOf(len(d.script.orders)-total, "order did", "orders did"))
	}
	return nil
}

// printHints says how to look at the rows.
func (d *demo) printHints(w io.Writer, keep bool) {
	if !keep {
		fmt.Fprintln(w, "Look at the rows yourself: make demo ARGS=--keep leaves everything running and says how.")
		return
	}
	fmt.Fprintf(w, "\nEverything is left running until Ctrl-C. Look at the rows with\n\n"+
		"  psql -h %s -U postgres\n"+
		"  SELECT status, review_reason, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2;\n"+
		"  SELECT * FROM order_queries WHERE order_id = 61 ORDER BY id;\n"+
		"  SELECT event, count(*) FROM order_events GROUP BY 1;\n\n"+
		"or with the commands for people\n\n"+
		"  export DATABASE_URL='postgres://postgres@/postgres?host=%s'\n"+
		"  export CHINAUMS_BASE_URL=http://%s CHINAUMS_APP_ID=%s CHINAUMS_APP_KEY=%s\n"+
		"  %s status\n"+
		"  %[6]s why '#61'\n"+
		"  %[6]s run-once --review\n\n"+
		"The webhook's deliveries, as the application gets them: http://%s/\n"+
		"The console, with everything in pages: http://%s/\n"+
		"The daemon's metrics: http://%s/metrics\n", d.server.Dir(), d.server.Dir(), d.gateway.address, demoAppID, demoAppKey, os.Args[0],
		d.receiver.address, d.console.address, d.health.Address)
}

// closeAll ends everything that was started, in reverse order.
func (d *demo) closeAll() {
	if d.health != nil {
		d.health.Close()
	}
	if d.console != nil {
		d.console.closeAll()
	}
	if d.receiver != nil {
		d.receiver.closeAll()
	}
	if d.clients != nil {
		d.clients.closeAll()
	}
	if d.gateway != nil {
		d.gateway.closeAll()
	}
	if d.orders != nil {
		d.orders.Close()
	}
	if d.server != nil {
		_ = d.server.Stop() // its folder is swept by the next start
	}
}
