package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"reconciler/internal/chinaums"
)

// modelNumber is the order number that the replayed answer is learnt with. All orders' numbers are as long.
const modelNumber = "319400000000000000000000"

// replay is a gateway that costs as little as it can: it has learnt one answer from a simulator, and gives it about every
// order, with that order's number. It checks nothing; the client's work is the same.
type replay struct {
	answer  []byte
	latency time.Duration
}

// gatewayCommand is `bench gateway`, a process of its own like the simulator.
func gatewayCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	upstream := flags.String("learn-from", "", "`URL` of a simulator")
	latency := flags.Duration("latency", 0, "before each answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	answer, err := learn(ctx, *upstream)
	if err != nil {
		return fmt.Errorf("learn an answer: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: replay{answer, *latency}, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Fprintf(stdout, "serves on http://%s/\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func learn(ctx context.Context, upstream string) ([]byte, error) {
	client, err := newClient(upstream, 1)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	answer, err := client.Query(ctx, chinaums.Request{MID: mid, TID: tid, InstMID: "MINIDEFAULT", MerOrderID: modelNumber})
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(answer.Body, []byte(modelNumber)) {
		return nil, fmt.Errorf("the answer does not name its order: %s", answer.Body)
	}
	return answer.Body, nil
}

// ServeHTTP answers one question.
func (g replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	question, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return
	}
	_, rest, found := bytes.Cut(question, []byte(`"merOrderId":"`))
	if !found || len(rest) < len(modelNumber) {
		http.Error(w, "about which order?", http.StatusBadRequest)
		return
	}
	if g.latency > 0 {
		time.Sleep(g.latency)
	}
	w.Header()["Content-Type"] = []string{"application/json; charset=utf-8"}
	_, _ = w.Write(bytes.ReplaceAll(g.answer, []byte(modelNumber), rest[:len(modelNumber)]))
}
