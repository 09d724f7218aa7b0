package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

const (
	prefix     = "reconciler-pg-"
	logName    = "log"
	port       = "5432" // only part of the socket's name here
	socketName = ".s.PGSQL." + port
)

// makeFolder makes the server's folder in the first place that will do, named after our pid.
func makeFolder(who *account, durable bool) (string, error) {
	var errs []error
	for _, place := range candidatePlaces(durable) {
		dir, err := makeFolderIn(place, who)
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("postgres: no place for the server's folder: %w", errors.Join(errs...))
}

// candidatePlaces lists memory first: a cluster is made there in half the time. Containers often
// have only 64 MiB of it.
func candidatePlaces(durable bool) []string {
	list := []string{os.TempDir(), "/tmp"}
	if !durable && freeSpace(memoryPlace) > 1<<30 {
		list = append([]string{memoryPlace}, list...)
	}
	return list
}

const memoryPlace = "/dev/shm"

func freeSpace(path string) uint64 {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(path, &stat); err != nil {
		return 0
	}
	return stat.Bavail * uint64(stat.Bsize)
}

func makeFolderIn(place string, who *account) (string, error) {
	if err := who.canWalk(place); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(place, fmt.Sprintf("%s%d-*", prefix, os.Getpid()))
	if err != nil {
		return "", err
	}
	if err := errors.Join(checkSocketPath(dir), who.takeOver(dir)); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, nil
}

// checkSocketPath refuses a folder whose socket the system could not name: the limit is 107 bytes
// on Linux, 103 on macOS.
func checkSocketPath(dir string) error {
	limit := len(syscall.RawSockaddrUnix{}.Path) - 1
	if path := filepath.Join(dir, socketName); len(path) > limit {
		return fmt.Errorf("socket path %s is longer than %d bytes", path, limit)
	}
	return nil
}

// removeFolder tries again for a second: processes that were killed may still be leaving it.
func removeFolder(dir string) error {
	deadline := time.Now().Add(time.Second)
	for {
		err := os.RemoveAll(dir)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// removeStale removes the folders that servers of killed processes left behind. A folder that
// cannot be removed stays.
func removeStale(ctx context.Context, who *account) {
	for _, place := range []string{memoryPlace, os.TempDir(), "/tmp"} {
		found, _ := filepath.Glob(filepath.Join(place, prefix+"*"))
		for _, dir := range found {
			if isStale(ctx, dir, who) {
				_ = os.RemoveAll(dir)
			}
		}
	}
}

// isStale holds for a folder of ours whose maker is gone and whose server is too. The second
// question matters where the folder is seen from another container, to which the maker's pid means
// nothing.
func isStale(ctx context.Context, dir string, who *account) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || !who.ownsFile(info) {
		return false
	}
	pid, ok := makerOf(dir)
	return ok && !isAlive(pid) && refusesConnections(ctx, dir)
}

func makerOf(dir string) (int, bool) {
	match := regexp.MustCompile(`^` + prefix + `(\d+)-\d+$`).FindStringSubmatch(filepath.Base(dir))
	if match == nil {
		return 0, false
	}
	pid, err := strconv.Atoi(match[1])
	return pid, err == nil && pid > 0
}

// isAlive is also true for a process of another user, to which we may not send signals.
func isAlive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// refusesConnections holds where no server listens. Any other trouble, such as a server too busy to
// answer, is not a refusal.
func refusesConnections(ctx context.Context, dir string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, socketName))
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

// logTail is the end of the server's log as a part of an error text, or nothing.
func logTail(dir string) string {
	log, err := os.ReadFile(filepath.Join(dir, logName))
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	if err != nil || len(lines[0]) == 0 {
		return ""
	}
	const most = 20
	return "\nThe end of the server's log:\n" + string(bytes.Join(lines[max(0, len(lines)-most):], []byte("\n")))
}
