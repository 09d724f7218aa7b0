package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconciler/internal/chinaums"
)

// secretKey stands for the key in all files of these tests; no error may hold it.
const secretKey = "k3y90123456789ABCDEFk3y901234567"

func writeFile(t testing.TB, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// credentialsFolder is a folder with a credentials file and some key files.
func credentialsFolder(t testing.TB, content string) (path string) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "secret.key"), secretKey+"\n", 0o600)
	writeFile(t, filepath.Join(dir, "windows.key"), secretKey+"\r\n", 0o600)
	writeFile(t, filepath.Join(dir, "empty.key"), " \n", 0o600)
	writeFile(t, filepath.Join(dir, "two.key"), secretKey+"\n"+secretKey, 0o600)
	writeFile(t, filepath.Join(dir, "open.key"), secretKey, 0o644)
	if strings.Contains(content, "large.key") {
		writeFile(t, filepath.Join(dir, "large.key"), strings.Repeat(secretKey, 1<<15)+"\n", 0o600)
	}
	return writeFile(t, filepath.Join(dir, "credentials.yaml"), strings.ReplaceAll(content, "DIR", dir), 0o600)
}

func entry(appID, key string, mids ...string) credential {
	return credential{Credentials: chinaums.Credentials{AppID: appID, AppKey: key}, MIDs: mids}
}

func TestCredentialsAreRead(t *testing.T) {
	t.Parallel()
	const inline = "\n  app_key: " + secretKey
	one := []credential{entry("app", secretKey, "898201612345678")}
	tests := map[string]struct {
		content string
		want    []credential
	}{
		"a list": {
			"- app_id: \"10037e\"\n  app_key_file: secret.key\n  mids: [\"898201612345678\", \"898340149000005\"]\n- app_id: other" + inline + "\n  mids:\n  - \"11112222\"\n",
			[]credential{entry("10037e", secretKey, "898201612345678", "898340149000005"), entry("other", secretKey, "11112222")},
		},
		"under a key":     {"credentials:\n- app_id: app\n  app_key_file: DIR/secret.key\n  mids: [\"898201612345678\"]\n", one},
		"Windows":         {"\ufeff- app_id: app\r\n  app_key_file: windows.key\r\n  mids: [\"898201612345678\"]\r\n", one},
		"markers":         {"# who asks\n---\n- app_id: app" + inline + "\n  mids: [898201612345678]\n...\n", one},
		"JSON":            {`[{"app_id":"app","app_key":"` + secretKey + `","mids":["898201612345678"]}]`, one},
		"unquoted id":     {"- app_id: 0012e5" + inline + "\n  mids: [898201612345678]", []credential{entry("0012e5", secretKey, "898201612345678")}},
		"unquoted key":    {"- app_id: app\n  app_key: 0x1F_00\n  mids: [898201612345678]", []credential{entry("app", "0x1F_00", "898201612345678")}},
		"unquoted yes":    {"- app_id: yes\n  app_key: 1e3\n  mids: [898201612345678]", []credential{entry("yes", "1e3", "898201612345678")}},
		"8 and 32":        {"- app_id: app" + inline + "\n  mids: [商户商户商户商户, 12345678901234567890123456789012]", []credential{entry("app", secretKey, "商户商户商户商户", "12345678901234567890123456789012")}},
		"numbers as such": {"- app_id: app" + inline + "\n  mids: [00123456, 0o123456, 0x123456, 1_234_567, 12345e10, 123456.0, 2026-01-02, +1234567, 0b101010]", []credential{entry("app", secretKey, "00123456", "0o123456", "0x123456", "1_234_567", "12345e10", "123456.0", "2026-01-02", "+1234567", "0b101010")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readCredentials(credentialsFolder(t, tt.content))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is wrong is told with its line, all of it at once, and never with a key.
func TestCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	const id, inline, mids = "- app_id: app", "\n  app_key: " + secretKey, "\n  mids: [\"898201612345678\"]\n"
	const form = "must be a list of entries, at least one, each with app_id, app_key or app_key_file, and mids"
	const key = " line 2 (app \"app\"): the app key must be one text without spaces and control characters: check the line, or quote it"
	const unknown = " line 2 (app \"app\"): unknown key: known here: app_id, app_key, app_key_file, mids"
	const empty = " is empty: list an app_id with its app_key_file and its mids"
	const syntax = ": check indentation, the space after each colon, and quotes"
	const noKey = "no app key: set app_key or app_key_file"
	tests := map[string]struct {
		content string
		want    []string // after the file's name; DIR is its folder
	}{
		"empty":               {"", []string{empty}},
		"comments":            {"# " + secretKey + "\n", []string{empty}},
		"null":                {"---\n", []string{" line 2: " + form}},
		"empty list":          {"[]", []string{" line 1: " + form}},
		"empty under the key": {"credentials:\n", []string{" line 1: " + form}},
		"a text":              {secretKey, []string{" line 1: " + form}},
		"no list":             {id[2:] + strings.ReplaceAll(inline+mids, "  ", ""), []string{" line 1: " + form}},
		"beside the list":     {"credentials:\n" + id + inline + mids + "rate: 5\ncredentials: []\n", []string{" line 5: unknown key: known here: credentials", " line 6: credentials is given twice: keep one"}},
		"second document":     {id + inline + mids + "---\n" + id + inline + mids, []string{" line 4: a second document begins: keep all entries in one list"}},
		"bad second document": {id + inline + mids + "---\n- *" + secretKey, []string{" is not valid YAML" + syntax}},
		"entries that are none": {"- " + secretKey + "\n-\n- [" + secretKey + "]\n", []string{
			" line 1: must be an entry with app_id, app_key or app_key_file, and mids",
			" line 2: must be an entry with app_id, app_key or app_key_file, and mids",
			" line 3: must be an entry with app_id, app_key or app_key_file, and mids",
		}},

		"unknown key":         {id + "\n  appkey: " + secretKey + mids, []string{unknown, ` line 1 (app "app"): ` + noKey}},
		"key as a key":        {id + "\n  " + secretKey + ": app_key" + mids, []string{unknown, ` line 1 (app "app"): ` + noKey}},
		"no space":            {"- {app_id: app,\n  app_key:" + secretKey + ", mids: [11112222]}", []string{unknown, ` line 1 (app "app"): ` + noKey}},
		"merge key":           {id + "\n  <<: {app_key: " + secretKey + "}" + mids, []string{unknown, ` line 1 (app "app"): ` + noKey}},
		"app_id twice within": {id + "\n  app_id: app" + inline + mids, []string{` line 2 (app "app"): app_id is given twice: keep one`}},
		"app_key twice":       {id + inline + inline + mids, []string{` line 3 (app "app"): app_key is given twice: keep one`}},

		"app_id missing":       {"- app_key: " + secretKey + mids, []string{" line 1: app_id is missing: set it to what ChinaUMS gave"}},
		"app_id empty":         {"- app_id:" + inline + mids, []string{" line 1: app_id is missing: set it to what ChinaUMS gave"}},
		"app_id no text":       {"- app_id: [app]" + inline + mids, []string{" line 1: app_id must be a text without spaces, quotes, commas and control characters"}},
		"app_id with the key":  {id + "\n    app_key: " + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"app_id runs on":       {id + "\n    app_key " + secretKey + mids, []string{" line 1: app_id must be a text without spaces, quotes, commas and control characters", " line 1: " + noKey}},
		"app_id holds a comma": {id + ",app_key:" + secretKey + mids, []string{" line 1: app_id must be a text without spaces, quotes, commas and control characters", " line 1: " + noKey}},
		"app_id twice":         {id + inline + mids + id + inline + "\n  mids: [11112222]", []string{` line 4 (app "app"): app_id is given twice, first in line 1: put all its mids into one entry`}},

		"no key":           {id + mids, []string{` line 1 (app "app"): ` + noKey}},
		"both keys":        {id + inline + "\n  app_key_file: secret.key" + mids, []string{` line 1 (app "app"): app_key and app_key_file are both given: keep one`}},
		"key empty":        {id + "\n  app_key: ''" + mids, []string{` line 2 (app "app"): the app key is empty: set it, in quotes`}},
		"key a comment":    {id + "\n  app_key: #" + secretKey + mids, []string{` line 2 (app "app"): the app key is empty: set it, in quotes`}},
		"key an anchor":    {id + "\n  app_key: &" + secretKey + mids, []string{` line 2 (app "app"): the app key is empty: set it, in quotes`}},
		"key an alias":     {id + "\n  app_key: *" + secretKey + mids, []string{" is not valid YAML" + syntax}},
		"key a tag":        {id + "\n  app_key: !" + secretKey + " x y" + mids, []string{key}},
		"key a directive":  {id + "\n  app_key: %" + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"key a list":       {id + "\n  app_key: [" + secretKey + "]" + mids, []string{key}},
		"key a mapping":    {id + "\n  app_key: {" + secretKey + ": 1}" + mids, []string{key}},
		"key with spaces":  {id + inline + " " + secretKey + mids, []string{key}},
		"key on two lines": {id + inline + "\n   " + secretKey + mids, []string{key}},
		"key with newline": {id + "\n  app_key: |\n    " + secretKey + mids, []string{key}},
		"key with NUL":     {id + "\n  app_key: \"" + secretKey + "\\0\"" + mids, []string{key}},
		"key unseen":       {id + "\n  app_key: \"" + secretKey + "\\u200b\"" + mids, []string{key}},
		"no colon":         {id + "\n  app_key " + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"colon and tab":    {id + "\n\tapp_key: " + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"quote left open":  {id + "\n  app_key: \"" + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"bad escape":       {id + "\n  app_key: \"\\" + secretKey + "\"" + mids, []string{" is not valid YAML near line 2" + syntax}},

		"key file missing":  {id + "\n  app_key_file: none.key" + mids, []string{` line 2 (app "app"): app_key_file cannot be read: no such file or directory`}},
		"key for a file":    {id + "\n  app_key_file: " + secretKey + mids, []string{` line 2 (app "app"): app_key_file cannot be read: no such file or directory`}},
		"key file empty":    {id + "\n  app_key_file: empty.key" + mids, []string{` line 2 (app "app"): app_key_file DIR/empty.key is empty: put the app's key into it`}},
		"key file unnamed":  {id + "\n  app_key_file:" + mids, []string{` line 2 (app "app"): the app key is empty: set it, in quotes`}},
		"key file of two":   {id + "\n  app_key_file: two.key" + mids, []string{key}},
		"key file open":     {id + "\n  app_key_file: open.key" + mids, []string{` line 2 (app "app"): app_key_file DIR/open.key can be read by others (mode 0644): chmod 600 it`}},
		"key file large":    {id + "\n  app_key_file: DIR/large.key" + mids, []string{` line 2 (app "app"): app_key_file DIR/large.key is larger than 1 MiB: it is not what it should be`}},
		"key file a folder": {id + "\n  app_key_file: ." + mids, []string{` line 2 (app "app"): app_key_file DIR is not a regular file`}},
		"key file a list":   {id + "\n  app_key_file: [secret.key]" + mids, []string{key}},

		"no mids":        {id + inline, []string{` line 1 (app "app"): no mids: list the merchants that the app asks for`}},
		"mids null":      {id + inline + "\n  mids:", []string{` line 3 (app "app"): no mids: list the merchants that the app asks for`}},
		"mids empty":     {id + inline + "\n  mids: []", []string{` line 3 (app "app"): no mids: list the merchants that the app asks for`}},
		"mids a text":    {id + inline + "\n  mids: 898201612345678", []string{` line 3 (app "app"): mids must be a list, such as ["898201612345678"]`}},
		"mid twice":      {id + inline + "\n  mids: [\"00123456\", 00123456]", []string{` line 3 (app "app"): mid 00123456 is listed twice: keep one`}},
		"mid under two":  {id + inline + mids + "- app_id: other" + inline + mids, []string{` line 6 (app "other"): mid 898201612345678 is also in the entry of line 1: leave it to one app, whose key its orders are asked with`}},
		"mids of a form": {id + inline + "\n  mids: [1234567, '', \"1234 678\", \"12345678\\n\", [11112222], {11112222: 1}, 123456789012345678901234567890123, 商户商户商户商]", midProblems()},
		"key for a mid":  {id + inline + "\n  mids: [" + secretKey + ", " + secretKey + "]", []string{` line 3 (app "app"): mid is listed twice: keep one`}},

		"all at once": {
			id + "\n  mids: [short]\n  key: 1\n- app_key: ''\n  mids: [11112222]\n" + id + "\n  app_key_file: open.key\n  mids: [11112222]\n",
			[]string{
				` line 3 (app "app"): unknown key: known here: app_id, app_key, app_key_file, mids`,
				` line 1 (app "app"): ` + noKey,
				` line 2 (app "app"): a mid must have 8 to 32 characters, not 5`,
				` line 4: app_id is missing: set it to what ChinaUMS gave`,
				` line 4: the app key is empty: set it, in quotes`,
				` line 6 (app "app"): app_id is given twice, first in line 1: put all its mids into one entry`,
				` line 7 (app "app"): app_key_file DIR/open.key can be read by others (mode 0644): chmod 600 it`,
				` line 8 (app "app"): mid 11112222 is also in the entry of line 4: leave it to one app, whose key its orders are asked with`,
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := credentialsFolder(t, tt.content)
			got, err := readCredentials(path)
			if err == nil {
				t.Fatalf("read: %v", got)
			}
			var want []string
			for _, line := range tt.want {
				want = append(want, "credentials-file "+path+strings.ReplaceAll(line, "DIR", filepath.Dir(path)))
			}
			if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" || got != nil {
				t.Error(got, diff)
			}
			if strings.Contains(err.Error(), secretKey) {
				t.Error("the key is shown")
			}
		})
	}
}

func midProblems() []string {
	const at = ` line 3 (app "app"): a mid must `
	const blank, length = at + "be a text without spaces and control characters", at + "have 8 to 32 characters, not "
	return []string{length + "7", length + "0", blank, blank, blank, blank, length + "33", length + "7"}
}

// However a good file is damaged, the key is not in what is said of it.
func TestCredentialsErrorsNeverHoldTheKey(t *testing.T) {
	t.Parallel()
	path := credentialsFolder(t, "")
	const good = "credentials:\n- app_id: \"10037e6f\"\n  app_key: " + secretKey + "\n  mids: [\"898201612345678\"]\n" +
		"- app_id: other\n  app_key_file: secret.key\n  mids:\n  - 11112222\n  - 33334444\n"
	sayings := []string{
		"", " ", "\n", "\n  ", "\n- ", "\n    ", "\t", ":", ": ", "-", "- ", "[", "]", "{", "}", ",", `"`, "'", "&", "*", "!", "!!", "!!binary ", "|", ">", "%", "@", "`", "#", " #",
		"? ", "---\n", "...\n", "<<: ", "\\", "\x00", "\xff", "~", "null", "app_key", "app_key_file: ", "mids: ", "mids:\n  - ", secretKey,
	}
	// The one way to show a key is to call it an app id.
	swapped := regexp.MustCompile(`app_id["']?\s*:[^:]*` + secretKey)
	failed := 0
	rapid.Check(t, func(t *rapid.T) {
		content := good
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(content)).Draw(t, "at")
			end := min(len(content), at+rapid.SampledFrom([]int{0, 0, 1, 2, 3, 9, 12}).Draw(t, "cut"))
			content = content[:at] + rapid.SampledFrom(sayings).Draw(t, "put") + content[end:]
		}
		if swapped.MatchString(content) {
			t.Skip("an app id")
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readCredentials(path)
		if err == nil {
			return
		}
		failed++
		if got != nil || strings.Contains(err.Error(), secretKey) {
			t.Errorf("of %q: %v", content, err)
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "credentials-file "+path+" ") {
				t.Errorf("of %q: %q", content, line)
			}
		}
	})
	if failed == 0 {
		t.Error("nothing was wrong ever")
	}
}

func TestCredentialIsPrintedWithoutItsKey(t *testing.T) {
	t.Parallel()
	c := entry("app", secretKey, "898201612345678")
	list := []credential{c}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&printed, verb+verb+verb+"\n", c, &c, list)
	}
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("", slog.Any("one", c), slog.Any("all", list))
	slog.New(slog.NewTextHandler(&printed, nil)).Info("", slog.Any("one", c), slog.Any("all", list))
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(b)
	if text := printed.String(); strings.Contains(text, secretKey) || strings.Contains(text, fmt.Sprintf("%x", secretKey)) || !strings.Contains(text, "app") {
		t.Error(text)
	}
}

func TestCredentialsFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "cannot be read: no such file or directory",
		dir:                        "is not a regular file",
		fifo:                       "is not a regular file",
		"/dev/null":                "is not a regular file",
		writeFile(t, filepath.Join(dir, "large"), strings.Repeat("#", 1<<20+1), 0o600): "is larger than 1 MiB: it is not what it should be",
		writeFile(t, filepath.Join(dir, "full"), strings.Repeat("#", 1<<20), 0o600):    "is empty: list an app_id with its app_key_file and its mids",
	} {
		if _, err := readCredentials(path); err == nil || err.Error() != "credentials-file "+path+" "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestCredentialsAreForTheirOwner(t *testing.T) {
	t.Parallel()
	const good = "[{app_id: app, app_key: " + secretKey + ", mids: [11112222]}]"
	root := os.Geteuid() == 0
	dir := t.TempDir()
	link := filepath.Join(dir, "link") // as Kubernetes mounts secrets
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for mode := os.FileMode(0o400); mode <= 0o777; mode++ {
		writeFile(t, filepath.Join(dir, "file"), good, mode)
		_, err := readCredentials(link)
		switch mine := mode&0o077 == 0 || (root && mode&0o037 == 0); { // root's group may read
		case mine && err != nil:
			t.Errorf("mode %04o: %v", mode, err)
		case !mine && (err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf("by others (mode %04o): chmod 600 it", mode))):
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err := os.Remove(filepath.Join(dir, "file")); err != nil {
			t.Fatal(err)
		}
	}
}

// fileOf is what the system would say of a file.
type fileOf struct {
	os.FileInfo
	uid  uint32
	mode os.FileMode
}

func (f fileOf) Mode() os.FileMode { return f.mode }
func (f fileOf) Sys() any          { return &syscall.Stat_t{Uid: f.uid} }

func TestCredentialsOfAnotherOwner(t *testing.T) {
	t.Parallel()
	const self = 1000
	tests := map[string]struct {
		file fileOf
		self int
		want string
	}{
		"root's for its group":       {fileOf{uid: 0, mode: 0o640}, self, ""},
		"root's for all":             {fileOf{uid: 0, mode: 0o444}, self, "can be read by others (mode 0444): chmod 640 it"},
		"root's, changed by a group": {fileOf{uid: 0, mode: 0o620}, self, "can be changed by others (mode 0620): chmod 640 it"},
		"root's, we are root":        {fileOf{uid: 0, mode: 0o644}, 0, "can be read by others (mode 0644): chmod 600 it"},
		"ours for our group":         {fileOf{uid: self, mode: 0o640}, self, "can be read by others (mode 0640): chmod 600 it"},
		"another's":                  {fileOf{uid: 33, mode: 0o600}, self, "belongs to another user (uid 33): chown it to uid 1000 or to root"},
		"another's, we are root":     {fileOf{uid: 33, mode: 0o600}, 0, "belongs to another user (uid 33): chown it to uid 0 or to root"},
		"a socket":                   {fileOf{uid: self, mode: os.ModeSocket | 0o600}, self, "is not a regular file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := checkPrivate(tt.file, tt.self); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
