//go:build unix && (!linux || watcher)

package postgres

import (
	"errors"
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// watch sends the named process SIGINT when standard input ends without a line: we are gone, and
// have not said goodbye.
const watch = `read -r goodbye || kill -INT "$1"`

// startTied is for systems whose kernel does not end a child with its parent. It starts the child,
// and beside it a shell that outlives us just long enough to end it. The guarantee is lesser by the
// moment between the two starts. (The build tag watcher puts this way to the test on Linux.)
func startTied(cmd *exec.Cmd) (release func(), err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	watcher := exec.Command("/bin/sh", "-c", watch, "sh", pid) //nolint:noctx // it is there to outlive us
	watcher.Dir = cmd.Dir
	watcher.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: cmd.SysProcAttr.Credential}
	line, err := watcher.StdinPipe()
	if err == nil {
		err = watcher.Start()
	}
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return func() {
		_, _ = io.WriteString(line, "goodbye\n")
		_ = watcher.Wait()
	}, nil
}
