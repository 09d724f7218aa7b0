package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command is a process to start.
type command struct {
	path string
	args []string
	env  []string // in addition to PATH and HOME
}

// child is a process that we started. It ends at the latest with the context that it was started
// under.
type child struct {
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	done   chan struct{} // closed when it has ended
	err    error         // how it ended, once done is closed
	peak   int64         // bytes, once done is closed
}

// usage is what a child has cost.
type usage struct {
	cpu  time.Duration // user and system
	peak int64         // bytes
}

// startChild starts a child. Start and wait share one thread, because the kernel takes that
// thread's end for ours.
func startChild(ctx context.Context, c command) (*child, error) {
	ch := &child{cmd: exec.CommandContext(ctx, c.path, c.args...), stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
	ch.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, c.env...)
	ch.cmd.Stdout, ch.cmd.Stderr = ch.stdout, ch.stderr
	ch.cmd.SysProcAttr = attributes()
	ch.cmd.Cancel = func() error { return ch.cmd.Process.Signal(syscall.SIGTERM) }
	ch.cmd.WaitDelay = 5 * time.Second
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := ch.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		stopLooking := ch.lookAtMemory()
		ch.err = ch.cmd.Wait()
		ch.peak = stopLooking()
		close(ch.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(c.path), err)
	}
	return ch, nil
}

// waitForEnd waits for the child's end and says what it has cost.
func (ch *child) waitForEnd() (usage, error) {
	<-ch.done
	state := ch.cmd.ProcessState
	u := usage{cpu: state.UserTime() + state.SystemTime(), peak: ch.peak}
	if ch.err != nil {
		return u, fmt.Errorf("%s %s: %w: %s", filepath.Base(ch.cmd.Path), ch.cmd.Args[1], ch.err, ch.stderr.lastLines())
	}
	return u, nil
}

// stopChild asks the child to end and waits for it.
func (ch *child) stopChild() (usage, error) {
	if err := ch.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return usage{}, fmt.Errorf("stop %s: %w", ch.cmd.Path, err)
	}
	return ch.waitForEnd()
}

// executeChild runs a child to its end.
func executeChild(ctx context.Context, c command) (stdout []byte, u usage, err error) {
	ch, err := startChild(ctx, c)
	if err != nil {
		return nil, usage{}, err
	}
	u, err = ch.waitForEnd()
	return ch.stdout.readBytes(), u, errors.Join(err, context.Cause(ctx))
}

// lookAtMemory follows the child's peak of resident memory until the returned function is called.
// The last look is at most a moment before the end.
func (ch *child) lookAtMemory() func() int64 {
	const every = 20 * time.Millisecond
	status := fmt.Sprintf("/proc/%d/status", ch.cmd.Process.Pid)
	stop, stopped := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			peak = max(peak, peakMemory(status))
			select {
			case <-tick.C:
			case <-stop:
				stopped <- peak
				return
			}
		}
	}()
	return func() int64 { close(stop); return <-stopped }
}

// peakMemory is the VmHWM of a /proc/PID/status in bytes, 0 when the process is gone.
func peakMemory(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// output keeps what a child writes, and tells when its first line is there.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	line  chan struct{} // closed with the first line
	lines bool
}

func newOutput() *output { return &output{line: make(chan struct{})} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if !o.lines && bytes.IndexByte(p, '\n') >= 0 {
		o.lines = true
		close(o.line)
	}
	return len(p), nil
}

func (o *output) readBytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes())
}

// lastLines is the end of what was written, for an error text.
func (o *output) lastLines() string {
	const most = 1000
	text := strings.TrimSpace(string(o.readBytes()))
	return text[max(0, len(text)-most):]
}
