//go:build !linux

package main

import "syscall"

// attributes put a child into a process group of its own, so that Ctrl-C at the terminal reaches us
// alone.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
