package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the server runs as. Nil stands for our own.
type account struct {
	name     string
	uid, gid uint32
}

// serverAccount is our own user, unless that is root, which Postgres refuses.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		who, err := lookUp(name)
		if err == nil {
			return who, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("postgres: the server cannot run as root: %w", errors.Join(errs...))
}

func lookUp(name string) (*account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, errors.Join(uidErr, gidErr)
}

func (a *account) String() string {
	if a == nil {
		return "ourselves"
	}
	return "user " + a.name
}

// processAttributes puts the child into a process group of its own. So Ctrl-C at the terminal
// reaches us alone, and the server is still there while we finish our transactions.
func (a *account) processAttributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// takeOver gives a path to the account.
func (a *account) takeOver(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// ownsFile tells whether a file is the account's.
func (a *account) ownsFile(info os.FileInfo) bool {
	uid := uint32(os.Geteuid())
	if a != nil {
		uid = a.uid
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == uid
}

// canWalk says which folder on the way to path is closed to the account: the system's own message
// names the program at the end of the way instead.
func (a *account) canWalk(path string) error {
	if a == nil {
		return nil
	}
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 && !a.ownsFile(info) {
			return fmt.Errorf("%s may not enter %s", a, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
