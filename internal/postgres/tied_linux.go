//go:build linux && !watcher

package postgres

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startTied starts a child to which the kernel sends SIGINT, a fast shutdown, when we die. What
// counts as our death is that of the starting thread, so the goroutine keeps it until it calls
// release.
func startTied(cmd *exec.Cmd) (release func(), err error) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	runtime.LockOSThread()
	if err := cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return runtime.UnlockOSThread, nil
}
