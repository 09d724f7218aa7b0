package credentials

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxFileSize is far more than any file of secrets needs.
const maxFileSize = 1 << 20

const notRegular = "is not a regular file"

// ReadPrivateFile reads a file of secrets by the rule of this package; a symbolic link is followed.
// The warning is not empty where the file is accepted although others may read it. Warning and
// error continue a sentence that begins with the file's name. Neither holds any of the content.
func ReadPrivateFile(path string) (content []byte, warning string, err error) {
	// O_NONBLOCK: opening a FIFO must not wait for its writer. O_NOCTTY: a terminal must not become
	// ours.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, syscall.ENXIO) { // a socket, or a device without hardware
		return nil, "", errors.New(notRegular)
	}
	if err != nil {
		return nil, "", unreadableFile(err)
	}
	defer file.Close()
	info, err := file.Stat() // of what was opened: the name may lead elsewhere by now
	if err != nil {
		return nil, "", unreadableFile(err)
	}
	if warning, err = checkPrivate(info, os.Geteuid()); err != nil {
		return nil, "", err
	}
	content, err = io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, "", unreadableFile(err)
	}
	if len(content) > maxFileSize {
		return nil, "", errors.New("is larger than 1 MiB, so it is not a file of secrets")
	}
	return content, warning, nil
}

func unreadableFile(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// checkPrivate judges a file that the user self reads.
func checkPrivate(info os.FileInfo, self int) (warning string, err error) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || !known {
		return "", errors.New(notRegular)
	}
	owner, mode := int(stat.Uid), info.Mode().Perm()
	byOthers := ""
	if mode&0o044 != 0 {
		byOthers = fmt.Sprintf("can be read by others (mode %04o)", mode)
	}
	switch {
	case mode&0o022 != 0:
		return "", fmt.Errorf("can be changed by others (mode %04o): chmod go-w it", mode)
	case byOthers != "" && owner != 0 && owner != self:
		return "", fmt.Errorf("%s and belongs to another user (uid %d): chmod 600 it, or chown it to uid %d or to root", byOthers, owner, self)
	case owner == 0 && self != 0 && mode&0o004 == 0:
		return "", nil // its group is how this process reads it
	case byOthers != "":
		return byOthers + ": chmod 600 it where you can", nil
	}
	return "", nil
}
