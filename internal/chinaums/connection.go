package chinaums

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

var errRetired = errors.New("the connection is out of step and not used any more")

// connection can be retired without harm to another question that the transport has given it to
// meanwhile: that question either has written nothing and goes to a new connection, or gets its
// answer in peace.
type connection struct {
	net.Conn

	mu      sync.Mutex
	uses    int // questions so far
	retired bool
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// dialConnection opens a connection that can be retired.
func (d dialer) dialConnection(ctx context.Context, network, address string) (net.Conn, error) {
	opened, err := d(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: opened}, nil
}

// connectionOf finds what dial returned, also below TLS, and TLS to a proxy.
func connectionOf(c net.Conn) *connection {
	for {
		secure, ok := c.(*tls.Conn)
		if !ok {
			opened, _ := c.(*connection)
			return opened
		}
		c = secure.NetConn()
	}
}

// beginUse begins a question. It returns which one it is.
func (c *connection) beginUse() int {
	if c == nil {
		return 0 // not one of dial's
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses++
	return c.uses
}

// Write fails once the connection is retired.
func (c *connection) Write(b []byte) (int, error) {
	c.mu.Lock()
	retired := c.retired
	c.mu.Unlock()
	if retired {
		return 0, errRetired
	}
	return c.Conn.Write(b)
}

// endUse ends the question with that number. An out-of-step connection takes no further question;
// it is closed here, or by the question that already has it.
func (c *connection) endUse(use int, outOfStep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = c.retired || outOfStep
	if c.retired && c.uses == use {
		_ = c.Close()
	}
}
