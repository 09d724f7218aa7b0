package main_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/store/storetest"
)

// patience bounds every wait of a test. Nothing takes nearly as long unless it is broken.
const patience = 3 * time.Minute

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	storetest.Eventually(t, patience, what, holds)
}

// process is the program as it runs.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
}

// start runs the program with these settings and no others. A process that still runs at the test's
// end is killed.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startWith(t, nil, env, args...)
}

// startWith is [start] with a log that goes somewhere else, unless it is nil.
func startWith(t *testing.T, stderr *os.File, env []string, args ...string) *process {
	t.Helper()
	needsProgram(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, args...), stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // as a rule it has ended long ago
		<-p.ended
		if t.Failed() {
			t.Logf("reconciler %s\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), p.stdout.tail(), p.stderr.tail())
		}
		if strings.Contains(p.stdout.String()+p.stderr.String(), appKey) {
			t.Errorf("reconciler %s: the app key was printed", strings.Join(args, " "))
		}
	})
	return p
}

// wait returns the exit code, -1 where a signal ended the process.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("the process did not end within %v", patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// stop ends the process as its supervisor would, and wants it to end well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

// running reports whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// awaitLog waits until the log says something.
func (p *process) awaitLog(t *testing.T, text string) {
	t.Helper()
	eventually(t, "a log line with "+text, func() bool { return strings.Contains(p.stderr.String(), text) })
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// invoke runs the program to its end.
func invoke(t *testing.T, env []string, args ...string) result {
	t.Helper()
	p := start(t, env, args...)
	code := p.wait(t)
	return result{code: code, stdout: p.stdout.String(), stderr: p.stderr.String()}
}

// want checks the exit code, and that stdout and stderr together hold the texts.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("the output does not say %q", text)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
	}
}

// lacks checks that nothing of this was printed.
func (r result) lacks(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("the output says %q", text)
		}
	}
}

// output holds the text that a process has written so far.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

// tail is enough to see why a test failed.
func (o *output) tail() string {
	const most = 4000
	s := o.String()
	return s[max(0, len(s)-most):]
}
