package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"reconciler/internal/chinaums"
)

// The app that asks, and the merchant whose orders they are. The gateway of this benchmark and no
// other knows the key.
const (
	appID  = "bench"
	appKey = "bench-key"
	tid    = "88880001"

	// A merchant is a prefix and a number of so many digits. The first one has the orders where one
	// has all.
	midPrefix = "8983401"
	midDigits = 8
	mid       = midPrefix + "00000000"
)

// newClient is the client of the product, which the peers share.
func newClient(url string, concurrency int) (*chinaums.Client, error) {
	client, err := chinaums.New(chinaums.Options{
		BaseURL: url, Path: "/v1/netpay/wx/mini-pre-query", Timeout: 10 * time.Second, Concurrency: concurrency,
		Credentials: chinaums.Credentials{AppID: appID, AppKey: appKey},
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return client, nil
}

// gateway is one that serves.
type gateway struct {
	*child

	url string
}

// startSimulator starts a gateway that calls each order paid, after a latency. It does so once:
// asked about the same order again it says closed, so that a second question leaves its traces in
// the orders and in the ledger.
func (l *lab) startSimulator(ctx context.Context, latency time.Duration) (*gateway, error) {
	scenario := filepath.Join(l.dir, "scenario.yaml")
	text := fmt.Sprintf("apps: [{id: %s, key: %s}]\nkeep: 1\nunscripted: [{status: TRADE_SUCCESS, delay: %[3]v, times: 1}, {status: TRADE_CLOSED, delay: %[3]v}]\n",
		appID, appKey, latency)
	if err := os.WriteFile(scenario, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	return serveReplay(ctx, command{path: l.product, args: []string{"simulator", "--listen", "127.0.0.1:0", "--scenario", scenario}})
}

// startReplay starts a gateway that has learnt the simulator's answer.
func (l *lab) startReplay(ctx context.Context, latency time.Duration) (*gateway, error) {
	return l.startHanging(ctx, latency, 0)
}

// startHanging starts the same, which gives no answer about the first merchants.
func (l *lab) startHanging(ctx context.Context, latency time.Duration, hanging int) (*gateway, error) {
	simulator, err := l.startSimulator(ctx, 0)
	if err != nil {
		return nil, err
	}
	g, err := serveReplay(ctx, command{path: l.self, args: []string{"gateway", "-learn-from", simulator.url, "-latency", latency.String(), "-hanging", fmt.Sprint(hanging)}})
	_, stopErr := simulator.stopChild()
	if stopErr != nil && g != nil {
		_, err := g.stopChild()
		return nil, errors.Join(stopErr, err)
	}
	return g, errors.Join(err, stopErr)
}

// serveReplay starts a gateway and waits until it says where it serves.
func serveReplay(ctx context.Context, c command) (*gateway, error) {
	ch, err := startChild(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	select {
	case <-ch.stdout.line:
	case <-ch.done:
		_, err := ch.waitForEnd()
		return nil, fmt.Errorf("gateway: %w", errors.Join(err, context.Cause(ctx)))
	}
	match := regexp.MustCompile(`http://[^/\s]+`).Find(ch.stdout.readBytes())
	if match == nil {
		_, err := ch.stopChild()
		return nil, errors.Join(fmt.Errorf("gateway: it does not say where it serves: %s", ch.stdout.readBytes()), err)
	}
	return &gateway{child: ch, url: string(match)}, nil
}
