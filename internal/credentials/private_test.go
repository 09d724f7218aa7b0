package credentials

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readInTime fails the test where reading the file waits: it must end at once, whatever the file
// is.
func readInTime(t *testing.T, path string) (content []byte, warning string, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		content, warning, err = ReadPrivateFile(path)
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		t.Fatalf("reading %s hangs", path)
	}
	return content, warning, err
}

func TestFilesThatAreNotRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	link := filepath.Join(dir, "link")
	if err := os.Symlink(fifo, link); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"folder": dir, "FIFO without a writer": fifo, "socket": socket, "endless device": "/dev/zero", "empty device": "/dev/null", "link to a FIFO": link,
	}
	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, err := readInTime(t, path); err == nil || err.Error() != notRegular {
				t.Errorf("got %v, want %s", err, notRegular)
			}
		})
	}
}

func TestSizeAndAbsence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := strings.Repeat("#", maxFileSize)
	if content, _, err := ReadPrivateFile(writeFile(t, filepath.Join(dir, "full"), full, 0o600)); err != nil || string(content) != full {
		t.Errorf("a file of exactly 1 MiB: %d bytes, %v", len(content), err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):                                 "cannot be read: no such file or directory",
		writeFile(t, filepath.Join(dir, "large"), full+"#", 0o600): "is larger than 1 MiB, so it is not a file of secrets",
	} {
		if _, _, err := ReadPrivateFile(path); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A Kubernetes Secret is a link to a link to a file that all may read and that belongs to root.
func TestMountedSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "..2026"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "..2026", "key"), secretKey+"\n", 0o644)
	for name, target := range map[string]string{"..data": "..2026", "key": "..data/key"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	key, warning, err := ReadKeyFile(filepath.Join(dir, "key"))
	if key != secretKey || err != nil || !strings.HasPrefix(warning, "can be read by others (mode 0644)") {
		t.Errorf("got %q, %q, %v", key, warning, err)
	}
}

// Every mode of a file of ours: refused where others may write, a warning where they may read.
func TestModesOfOwnFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for mode := os.FileMode(0o400); mode <= 0o777; mode++ {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		_, warning, err := ReadPrivateFile(writeFile(t, path, secretKey, mode))
		if refused, want := err != nil, mode&0o022 != 0; refused != want {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if warned, want := warning != "", mode&0o022 == 0 && mode&0o044 != 0; warned != want {
			t.Errorf("mode %04o: warning %q", mode, warning)
		}
	}
}

// The warnings of all files that were read come with the file's names.
func TestReadFilePassesWarningsOn(t *testing.T) {
	t.Parallel()
	path := credentialsFolder(t, "[{app_id: app, app_key_file: secret.key, mids: [11112222]}]")
	keyFile := filepath.Join(filepath.Dir(path), "secret.key")
	for _, name := range []string{path, keyFile} {
		if err := os.Chmod(name, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, warnings, err := ReadFile(path)
	if err != nil || len(warnings) != 2 || !strings.HasPrefix(warnings[0], path+" can be read") || !strings.HasPrefix(warnings[1], keyFile+" can be read") {
		t.Errorf("warnings %q, %v", warnings, err)
	}
}

// statOf is what the system would say of a file.
type statOf struct {
	os.FileInfo
	uid  uint32
	mode os.FileMode
}

func (f statOf) Mode() os.FileMode { return f.mode }
func (f statOf) Sys() any          { return &syscall.Stat_t{Uid: f.uid} }

func TestOwners(t *testing.T) {
	t.Parallel()
	const self = 1000
	const byOthers = ": chmod 600 it where you can"
	tests := map[string]struct {
		file          statOf
		self          int
		warning, want string
	}{
		"root's for its group":       {statOf{uid: 0, mode: 0o640}, self, "", ""},
		"root's for all":             {statOf{uid: 0, mode: 0o444}, self, "can be read by others (mode 0444)" + byOthers, ""},
		"root's, group may write":    {statOf{uid: 0, mode: 0o620}, self, "", "can be changed by others (mode 0620): chmod go-w it"},
		"root's for all, as root":    {statOf{uid: 0, mode: 0o644}, 0, "can be read by others (mode 0644)" + byOthers, ""},
		"ours for our group":         {statOf{uid: self, mode: 0o640}, self, "can be read by others (mode 0640)" + byOthers, ""},
		"ours for all":               {statOf{uid: self, mode: 0o644}, self, "can be read by others (mode 0644)" + byOthers, ""},
		"ours, all may write":        {statOf{uid: self, mode: 0o666}, self, "", "can be changed by others (mode 0666): chmod go-w it"},
		"another's":                  {statOf{uid: 33, mode: 0o600}, self, "", ""},
		"another's for all":          {statOf{uid: 33, mode: 0o644}, self, "", "can be read by others (mode 0644) and belongs to another user (uid 33): chmod 600 it, or chown it to uid 1000 or to root"},
		"another's for its group":    {statOf{uid: 33, mode: 0o640}, self, "", "can be read by others (mode 0640) and belongs to another user (uid 33): chmod 600 it, or chown it to uid 1000 or to root"},
		"another's for all, as root": {statOf{uid: 33, mode: 0o644}, 0, "", "can be read by others (mode 0644) and belongs to another user (uid 33): chmod 600 it, or chown it to uid 0 or to root"},
		"a socket":                   {statOf{uid: self, mode: os.ModeSocket | 0o600}, self, "", notRegular},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			warning, err := checkPrivate(tt.file, tt.self)
			if err != nil {
				got = err.Error()
			}
			if got != tt.want || warning != tt.warning {
				t.Errorf("got %q, warning %q, want %q, %q", got, warning, tt.want, tt.warning)
			}
		})
	}
}
