package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a child that ends when we do.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended
	err  error         // how it ended; to be read once done is closed
}

// startProcess starts and awaits the child in one goroutine, because startTied may need one thread
// for both.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		release, err := startTied(cmd)
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		release()
		close(p.done)
	}()
	return p, <-started
}

// stop asks ever less politely. SIGTERM is not among the ways: Postgres would wait for each of its
// clients to leave. SIGKILL comes last because what it ends cannot give back its shared memory. The
// children of initdb get no signal at all: they would die of it without tidying up, but end well
// when initdb does.
func (p *process) stop() error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{
		{syscall.SIGINT, 10 * time.Second},
		{syscall.SIGQUIT, 5 * time.Second},
		{syscall.SIGKILL, 5 * time.Second},
	} {
		if err := p.cmd.Process.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("postgres: stop: %w", err)
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(step.wait):
		}
	}
	return fmt.Errorf("postgres: pid %d does not end", p.cmd.Process.Pid)
}
