package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// The bounds of the listener keep its clients from using up the descriptors that questions need.
const (
	maxConnections    = 64
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 30 * time.Second // longer than the usual time between two scrapes
	writeTimeout      = time.Minute      // a profile takes 30 s by default
)

// CheckAddress refuses an address that [Listen] could never listen on. Its error continues a
// sentence that begins with the name of the setting.
func CheckAddress(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port)
	}
	if err != nil {
		return fmt.Errorf("must be host:port or :port, not %q: %w", address, err)
	}
	return nil
}

// Server serves until it is closed.
type Server struct {
	http *http.Server
	// Address is where it listens, "" when it is off.
	Address string
}

// Listen serves on address; an empty one is off. With profiles, /debug/pprof is served as well:
// everybody who reaches the address can then look into the process.
func Listen(ctx context.Context, address string, profiles bool, logger *slog.Logger, status *Status, metrics *Metrics) (*Server, error) {
	if address == "" {
		return &Server{}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{Address: listener.Addr().String(), http: newHTTPServer(newHandler(status, metrics, profiles), logger)}
	go func() {
		if err := s.http.Serve(limitConnections(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			logger.LogAttrs(ctx, slog.LevelError, "health server ended", slog.Any("error", err))
		}
	}()
	logger.LogAttrs(ctx, slog.LevelInfo, "health server listens", slog.String("address", s.Address))
	return s, nil
}

func newHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.With(slog.String("component", "health server")).Handler(), slog.LevelWarn),
	}
}

// Close ends the server.
func (s *Server) Close() {
	if s.http != nil {
		_ = s.http.Close() // the process ends: there is nobody to tell
	}
}

// limitedListener accepts a connection only while fewer than its limit are open. Others wait in the
// system's queue, where they cost no descriptor.
type limitedListener struct {
	net.Listener

	slots  chan struct{}
	closed chan struct{}
	close  sync.Once
}

func limitConnections(listener net.Listener, limit int) *limitedListener {
	return &limitedListener{Listener: listener, slots: make(chan struct{}, limit), closed: make(chan struct{})}
}

// Accept waits for a free slot, then for a connection.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close also ends an Accept that waits for a slot.
func (l *limitedListener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn

	release func()
}

// Close closes the connection.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
