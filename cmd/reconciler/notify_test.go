package main_test

import (
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// systemd hears when the daemon works, that it goes on working, and when it stops.
func TestServiceManagerIsNotified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var mu sync.Mutex
	var told []string
	go func() {
		for buffer := make([]byte, 256); ; {
			n, err := manager.Read(buffer)
			if err != nil {
				return
			}
			mu.Lock()
			told = append(told, string(buffer[:n]))
			mu.Unlock()
		}
	}()
	hears := func(state string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(told, state) }
	}
	w.set("NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=200000")
	p := w.start(t, "run")
	eventually(t, "the manager hears READY=1", hears("READY=1"))
	eventually(t, "the manager hears WATCHDOG=1", hears("WATCHDOG=1"))
	p.stop(t)
	eventually(t, "the manager hears STOPPING=1", hears("STOPPING=1"))
}
