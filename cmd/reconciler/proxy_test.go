package main_test

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

// proxy stands between a process and its database, as the network does.
type proxy struct {
	t               *testing.T
	address         string // where it listens
	network, target string // where it leads

	mu       sync.Mutex
	listener net.Listener // nil while it is cut
	conns    map[net.Conn]bool
	paused   chan struct{} // closed while answers may pass
	running  sync.WaitGroup
}

// newProxy leads to an address, at first as a cut line.
func newProxy(t *testing.T, network, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, address: reservePort(t), network: network, target: target, conns: make(map[net.Conn]bool), paused: make(chan struct{})}
	close(p.paused)
	t.Cleanup(func() {
		p.resume()
		p.cut()
		p.running.Wait()
	})
	return p
}

// throughProxy makes the world's processes reach their database through a cut line.
func throughProxy(t *testing.T, w *world) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(w.url)
	if err != nil {
		t.Fatal(err)
	}
	network, target := pgconn.NetworkAddress(config.Host, config.Port)
	p := newProxy(t, network, target)
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: p.address,
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	w.set("DATABASE_URL=" + u.String())
	return p
}

// reservePort keeps a port until the test ends. So no server of another test gets it, and our
// process's requests, while the line is cut. A socket that does not listen refuses connections.
func reservePort(t *testing.T) (address string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	unix.CloseOnExec(fd)
	if err := errors.Join(sharePort(fd), unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strconv.Itoa(bound.(*unix.SockaddrInet4).Port)
}

// sharePort lets several sockets of ours have one port.
func sharePort(fd int) error {
	return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// restore lets connections through again.
func (p *proxy) restore() {
	p.t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var shareErr error
		err := raw.Control(func(fd uintptr) { shareErr = sharePort(int(fd)) })
		return errors.Join(err, shareErr)
	}}
	listener, err := config.Listen(p.t.Context(), "tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	p.running.Go(func() { p.accept(listener) })
}

// cut ends all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for conn := range p.conns {
		conn.Close()
	}
}

// pause keeps what the database says from now on.
func (p *proxy) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = make(chan struct{})
}

// count is how many connections lead through.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

// resume passes on what was kept.
func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.paused:
	default:
		close(p.paused)
	}
}

func (p *proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial(p.network, p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		if p.listener != listener { // cut meanwhile
			client.Close()
			server.Close()
			p.mu.Unlock()
			return
		}
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		p.running.Go(func() { p.carry(server, client, false) })
		p.running.Go(func() { p.carry(client, server, true) })
	}
}

// carry passes on what comes from one side until either has closed.
func (p *proxy) carry(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if answers {
			p.mu.Lock()
			paused := p.paused
			p.mu.Unlock()
			<-paused
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "127.0.0.1:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}
