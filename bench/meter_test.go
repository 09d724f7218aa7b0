package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	text := "12 (postgres: a) b (c) S 7 12 12 0 -1 4194560 1 2 3 4 150 25 1000 200 20 0 1 0 99"
	got, err := parseStat(text)
	want := stat{parent: 7, own: 1750 * time.Millisecond, children: 12 * time.Second}
	if err != nil || got != want {
		t.Errorf("parseStat = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseStat("12 (x) S 1 2"); err == nil {
		t.Error("a stat that is cut off is taken")
	}
}

func TestStatementTimes(t *testing.T) {
	t.Parallel()
	log := "2026 [1] LOG:  duration: 0.500 ms  bind stmtcache_1: \n\tWITH x AS (),\n\tclaimable AS (\n" +
		"2026 [1] LOG:  duration: 2.250 ms  execute stmtcache_1: \n\tWITH x AS (),\n\tclaimable AS (\n" +
		"2026 [1] LOG:  duration: 9.000 ms  execute stmtcache_2: UPDATE orders\n" +
		"2026 [1] LOG:  duration: 3.000 ms  execute stmtcache_1: WITH claimable AS (\n"
	times, err := statementTimes(strings.NewReader(log), claimMark)
	if err != nil {
		t.Fatal(err)
	}
	if bind := times["bind"]; len(bind) != 1 || bind[0] != 0.5 {
		t.Errorf("bind = %v, want 0.5", bind)
	}
	if execute := times["execute"]; len(execute) != 2 || execute[0] != 2.25 || execute[1] != 3 {
		t.Errorf("execute = %v, want 2.25 and 3", execute)
	}
}

func TestCounterCountsWaits(t *testing.T) {
	t.Parallel()
	message := func(kind byte, body string) string {
		return string([]byte{kind, 0, 0, 0, byte(4 + len(body))}) + body
	}
	startup := "\x00\x00\x00\x08\x00\x03\x00\x00"
	session := startup + message('Q', "begin\x00") + message('P', "x") + message('B', "S") + message('S', "") + message('X', "")
	c := &counter{}
	var passed strings.Builder
	_ = c.forwardBytes(&passed, bufio.NewReader(strings.NewReader(session)))
	if c.totalBytes() != 2 || passed.String() != session {
		t.Errorf("counted %d waits, want 2; passed on %q", c.totalBytes(), passed.String())
	}
}

func TestCounterPassesOn(t *testing.T) {
	t.Parallel()
	c := &counter{target: filepath.Join(t.TempDir(), "none")}
	client, far := net.Pipe()
	c.serveConnection(far) // no server: the client must be let go
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client is kept waiting for a server that is not there")
	}
}

func TestChildMeasured(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here")
	}
	stdout, spent, err := executeChild(t.Context(), command{path: "/bin/sh", args: []string{"-c", "sleep 0.1; echo $ONE"}, env: []string{"ONE=1"}})
	if err != nil || string(stdout) != "1\n" || spent.peak == 0 {
		t.Errorf("execute = %q, %+v, %v", stdout, spent, err)
	}
	if _, _, err := executeChild(t.Context(), command{path: "/bin/sh", args: []string{"-c", "echo trouble >&2; exit 3"}}); err == nil || !strings.Contains(err.Error(), "trouble") {
		t.Errorf("a failure is %v, want its words", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := executeChild(ctx, command{path: "/bin/sleep", args: []string{"60"}}); err == nil {
		t.Error("a child outlives its context")
	}
}
