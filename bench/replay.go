package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"reconciler/internal/chinaums"
)

// modelNumber is the order number that the replayed answer is learnt with. All orders' numbers are
// as long.
const modelNumber = "319400000000000000000000"

// replay is a gateway that costs as little as it can: it has learnt one answer from a simulator,
// and gives it about every order, with that order's number. It checks nothing; the client's work is
// the same. It serves by fasthttp: the share of the machine that the gateway takes is missing from
// every contestant, and levels them.
type replay struct {
	answer  []byte
	latency time.Duration
	hanging int // so many of the first merchants get no answer
}

// gatewayCommand is `bench gateway`, a process of its own like the simulator.
func gatewayCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(stderr)
	upstream := flags.String("learn-from", "", "`URL` of a simulator")
	latency := flags.Duration("latency", 0, "before each answer")
	hanging := flags.Int("hanging", 0, "so many of the first merchants get no answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	answer, err := learnAnswer(ctx, *upstream)
	if err != nil {
		return fmt.Errorf("learn an answer: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &fasthttp.Server{Handler: replay{answer, *latency, *hanging}.serveReplay}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	fmt.Fprintf(stdout, "serves on http://%s/\n", listener.Addr())
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

func learnAnswer(ctx context.Context, upstream string) ([]byte, error) {
	client, err := newClient(upstream, 1)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	answer, err := client.Query(ctx, chinaums.Request{MID: mid, TID: tid, InstMID: "MINIDEFAULT", MerOrderID: modelNumber})
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(answer.Redacted, []byte(modelNumber)) {
		return nil, fmt.Errorf("the answer does not name its order: %s", answer.Redacted)
	}
	return answer.Redacted, nil
}

// serveReplay answers one question.
func (g replay) serveReplay(c *fasthttp.RequestCtx) {
	_, rest, found := bytes.Cut(c.PostBody(), []byte(`"merOrderId":"`))
	if !found || len(rest) < len(modelNumber) {
		c.Error("about which order?", http.StatusBadRequest)
		return
	}
	_, merchant, found := bytes.Cut(c.PostBody(), []byte(`"mid":"`))
	if !found || len(merchant) < len(mid) {
		c.Error("about which merchant?", http.StatusBadRequest)
		return
	}
	merchant = merchant[:len(mid)]
	if n, err := strconv.Atoi(string(merchant[len(midPrefix):])); err == nil && n < g.hanging {
		time.Sleep(time.Minute) // the client has given up by then
	}
	if g.latency > 0 {
		time.Sleep(g.latency)
	}
	c.SetContentType("application/json; charset=utf-8")
	answer := bytes.ReplaceAll(g.answer, []byte(modelNumber), rest[:len(modelNumber)])
	if string(merchant) != mid {
		answer = bytes.ReplaceAll(answer, []byte(mid), merchant)
	}
	c.SetBody(answer)
}
