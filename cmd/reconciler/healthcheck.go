package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"reconciler/internal/ops"
)

// healthcheckTimeout is longer than the daemon's own limit for a readiness check.
const healthcheckTimeout = 5 * time.Second

type healthcheckCommand struct {
	Listen string `name:"listen" env:"RECONCILER_LISTEN" default:"127.0.0.1:9464" help:"Address on which the daemon serves its health."`
	Ready  bool   `name:"ready" help:"Ask /readyz instead of /healthz: does it do its work?"`
}

// Run fails unless the daemon on this machine answers 200.
func (c *healthcheckCommand) Run(p *process) error {
	var listenErr error
	if c.Listen == "off" || c.Listen == "" {
		listenErr = badSetting{"listen", fmt.Sprintf("is %q, so there is nothing to ask", c.Listen)}
	} else if err := ops.CheckAddress(c.Listen); err != nil {
		listenErr = badSetting{"listen", err.Error()}
	}
	if err := p.checkSettings(listenErr); err != nil {
		return err
	}
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(p.ctx, healthcheckTimeout)
	defer cancel()
	return askHealth(ctx, "http://"+localAddress(c.Listen)+path, p.stdout)
}

// localAddress is the address under which this machine reaches a listener on all interfaces.
func localAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip.IsUnspecified()) {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

func askHealth(ctx context.Context, url string, stdout io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the daemon does not answer: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	text := visibleText(strings.TrimSpace(string(body)))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: HTTP %d: %s", url, response.StatusCode, text)
	}
	_, err = fmt.Fprintln(stdout, text)
	return err
}
