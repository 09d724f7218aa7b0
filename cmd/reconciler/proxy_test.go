package main_test

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// proxy stands between a process and its database, as the network does.
type proxy struct {
	t               *testing.T
	address         string // where it listens
	network, target string // where it leads

	mu       sync.Mutex
	listener net.Listener // nil while it is cut
	held     []int        // sockets that keep the port while nobody listens
	conns    map[net.Conn]bool
	paused   chan struct{} // closed while answers may pass
	running  sync.WaitGroup
}

// throughProxy makes the world's processes reach their database through a proxy, which begins as a
// cut line.
func throughProxy(t *testing.T, w *world) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(w.url)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, conns: make(map[net.Conn]bool), paused: make(chan struct{})}
	close(p.paused)
	p.network, p.target = pgconn.NetworkAddress(config.Host, config.Port)
	p.listen("127.0.0.1:0")
	p.cut()
	t.Cleanup(func() {
		p.resume()
		p.cut()
		p.running.Wait()
		p.releasePort()
	})
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: p.address,
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	w.set("DATABASE_URL=" + u.String())
	return p
}

func (p *proxy) listen(address string) {
	p.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = listener, listener.Addr().String()
	p.releasePort()
	p.running.Go(func() { p.accept(listener) })
}

// restore lets connections through again.
func (p *proxy) restore() {
	p.t.Helper()
	p.listen(p.address)
}

// cut ends all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
		p.holdPort()
	}
	for conn := range p.conns {
		conn.Close()
	}
}

// holdPort keeps the port from the servers of other tests, which would get our process's requests. A
// socket that does not listen refuses connections.
func (p *proxy) holdPort() {
	address := netip.MustParseAddrPort(p.address)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		p.held = append(p.held, fd)
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()})
	}
	if err != nil {
		p.t.Errorf("hold %s: %v", p.address, err)
	}
}

func (p *proxy) releasePort() {
	for _, fd := range p.held {
		_ = syscall.Close(fd)
	}
	p.held = nil
}

// pause keeps what the database says from now on.
func (p *proxy) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = make(chan struct{})
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
