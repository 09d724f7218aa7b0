package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// secretLimit is far more than any file of secrets needs.
const secretLimit = 1 << 20

// readPrivate reads a file of secrets that is for its owner alone, as Postgres wants it of its key: the owner is who we
// are, or root, whose group may read it too. Its errors go on after the file's name.
func readPrivate(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not keep us waiting
	if err != nil {
		return nil, unreadableFile(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, unreadableFile(err)
	}
	if err := checkPrivate(info, os.Geteuid()); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, secretLimit+1))
	if err != nil {
		return nil, unreadableFile(err)
	}
	if len(content) > secretLimit {
		return nil, errors.New("is larger than 1 MiB: it is not what it should be")
	}
	return content, nil
}

func unreadableFile(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// checkPrivate says what is wrong with a file that the user self reads.
func checkPrivate(info os.FileInfo, self int) error {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || !known {
		return errors.New("is not a regular file")
	}
	owner, mode := int(stat.Uid), info.Mode().Perm()
	allowed, advice := os.FileMode(0o700), "600"
	if owner == 0 {
		allowed = 0o740
	}
	if owner == 0 && self != 0 {
		advice = "640"
	}
	switch tooMuch := mode &^ allowed; {
	case tooMuch&0o044 != 0:
		return fmt.Errorf("can be read by others (mode %04o): chmod %s it", mode, advice)
	case tooMuch != 0:
		return fmt.Errorf("can be changed by others (mode %04o): chmod %s it", mode, advice)
	case owner != 0 && owner != self:
		return fmt.Errorf("belongs to another user (uid %d): chown it to uid %d or to root", owner, self)
	}
	return nil
}
