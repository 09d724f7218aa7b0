package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"reconciler/internal/webhook"
)

// demoReceiver plays the application's side of the webhook: it checks the signatures, and shows on
// a page what came.
type demoReceiver struct {
	address string
	secret  string
	key     *standardwebhooks.Webhook
	server  *http.Server
	ended   chan struct{}

	mu    sync.Mutex
	lines []string
}

func startReceiver(ctx context.Context) (*demoReceiver, error) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	r := &demoReceiver{secret: "whsec_" + base64.StdEncoding.EncodeToString(random), ended: make(chan struct{})}
	var err error
	if r.key, err = standardwebhooks.NewWebhook(r.secret); err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	r.address = listener.Addr().String()
	handler := http.NewServeMux()
	handler.HandleFunc("POST /events", r.takeEvent)
	handler.HandleFunc("GET /{$}", r.showEvents)
	r.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(r.ended)
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "reconciler: receiver:", err)
		}
	}()
	return r, nil
}

func (r *demoReceiver) takeEvent(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, 1<<20))
	if err == nil {
		err = r.key.Verify(body, request.Header)
	}
	var event struct {
		ID    int64  `json:"id"`
		Event string `json:"event"`
		Data  struct {
			MerOrderID string `json:"mer_order_id"`
		} `json:"data"`
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%s  %5d  %-16s %s", time.Now().Format(time.TimeOnly), event.ID, event.Event, event.Data.MerOrderID))
	w.WriteHeader(http.StatusNoContent)
}

func (r *demoReceiver) showEvents(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s with a good signature. Reload the page for more.\n\n", pluralOf(len(r.lines), "event came", "events came"))
	for _, line := range r.lines {
		fmt.Fprintln(w, line)
	}
}

func (r *demoReceiver) closeAll() {
	_ = r.server.Close()
	<-r.ended
}

// startWebhook registers the webhook and makes its deliverer, before the first event is there.
func (d *demo) startWebhook(p *process) error {
	var err error
	if d.receiver, err = startReceiver(p.ctx); err != nil {
		return err
	}
	d.deliverer, err = webhook.New(webhook.Options{
		Store: d.orders, URL: "http://" + d.receiver.address + "/events", Secret: d.receiver.secret, Worker: "demo", Logger: demoLogger(p),
	})
	if err != nil {
		return err
	}
	if _, err := d.orders.HoldDeliveries(p.ctx, "registration", time.Minute); err != nil {
		return err
	}
	return d.orders.ReleaseDeliveries(p.ctx, "registration")
}

// deliverEvents tells the receiver of events until ctx ends. The function that it returns waits for
// its end.
func (d *demo) deliverEvents(ctx context.Context) (wait func()) {
	if d.deliverer == nil {
		return func() {}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.deliverer.Run(ctx)
	}()
	return func() { <-ended }
}
