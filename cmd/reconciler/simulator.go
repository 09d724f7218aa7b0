package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"reconciler/examples"
	"reconciler/internal/chinaums/simulator"
)

type simulatorCommand struct {
	Listen   string `name:"listen" default:"127.0.0.1:8080" help:"Address to serve on."`
	Scenario string `name:"scenario" placeholder:"FILE" help:"Scenario file (YAML): who may ask, which orders exist, and how they end. Without: examples/scenario.yaml, which explains the format."`
}

// Run serves until it is stopped.
func (c *simulatorCommand) Run(p *process) error {
	if err := p.checkSettings(); err != nil {
		return err
	}
	gateway, err := c.loadScenario()
	if err != nil {
		return usageError{fmt.Errorf("scenario %s: %w", c.Scenario, err)}
	}
	server, err := serveGateway(p.ctx, c.Listen, gateway)
	if err != nil {
		return err
	}
	for _, path := range gateway.Paths() {
		fmt.Fprintf(p.stdout, "the simulated gateway serves on http://%s%s\n", server.address, path)
	}
	<-p.ctx.Done()
	server.closeAll()
	return nil
}

func (c *simulatorCommand) loadScenario() (*simulator.Simulator, error) {
	text := examples.Scenario
	if c.Scenario != "" {
		var err error
		if text, err = os.ReadFile(c.Scenario); err != nil {
			return nil, err
		}
	}
	scenario, err := simulator.LoadScenario(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return scenario.Simulator()
}

// gatewayServer is a simulator that listens.
type gatewayServer struct {
	address string
	gateway *simulator.Simulator
	server  *http.Server
	ended   chan struct{}
}

func serveGateway(ctx context.Context, address string, gateway *simulator.Simulator) (*gatewayServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s := &gatewayServer{
		address: listener.Addr().String(), gateway: gateway, ended: make(chan struct{}),
		server: &http.Server{Handler: gateway, ReadHeaderTimeout: 10 * time.Second},
	}
	go func() {
		defer close(s.ended)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "reconciler: simulator:", err)
		}
	}()
	return s, nil
}

func (s *gatewayServer) closeAll() {
	s.gateway.Close()
	_ = s.server.Close() // answers under way are cut off
	<-s.ended
}
