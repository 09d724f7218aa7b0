package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// counter stands between a contestant and the server and counts how often the contestant waits for
// the server: each Sync or simple query that it sends is one round trip, however many statements go
// with it.
type counter struct {
	dir      string
	target   string
	listener net.Listener
	trips    atomic.Int64
	sessions sync.WaitGroup
}

// socket is the name that Postgres gives to its socket.
const socket = ".s.PGSQL.5432"

// countBytes starts a counter and returns the URL that leads through it.
func (l *lab) countBytes(db *database) (string, *counter, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return "", nil, err
	}
	c := &counter{dir: dir, target: filepath.Join(l.server.Dir(), socket)}
	if c.listener, err = net.Listen("unix", filepath.Join(dir, socket)); err != nil { //nolint:noctx // close ends it
		return "", nil, fmt.Errorf("counter: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	u, err := url.Parse(db.url)
	if err != nil {
		return "", nil, errors.Join(err, c.closeCounter())
	}
	query := u.Query()
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	c.sessions.Go(c.acceptConnections)
	return u.String(), c, nil
}

func (c *counter) totalBytes() int64 { return c.trips.Load() }

func (c *counter) closeCounter() error {
	err := c.listener.Close()
	c.sessions.Wait()
	return errors.Join(err, os.RemoveAll(c.dir))
}

func (c *counter) acceptConnections() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		c.sessions.Go(func() { c.serveConnection(client) })
	}
}

// serveConnection passes a session on until one side ends it; the contestant finds out about
// trouble by itself.
func (c *counter) serveConnection(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", c.target) //nolint:noctx // a socket of this machine answers at once
	if err != nil {
		return
	}
	defer server.Close()
	c.sessions.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_ = c.forwardBytes(server, bufio.NewReaderSize(client, 1<<16))
}

// forwardBytes copies the messages of a client and counts those that ask for an answer. The first
// message has no type.
func (c *counter) forwardBytes(server io.Writer, client *bufio.Reader) error {
	for header := 4; ; header = 5 {
		head, err := client.Peek(header)
		if err != nil {
			return err
		}
		if header == 5 && (head[0] == 'S' || head[0] == 'Q') {
			c.trips.Add(1)
		}
		length := int64(binary.BigEndian.Uint32(head[header-4:])) + int64(header-4)
		if _, err := io.CopyN(server, client, length); err != nil {
			return err
		}
	}
}
