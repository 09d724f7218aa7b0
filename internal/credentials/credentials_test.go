package credentials

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
	writeFile(t, filepath.Join(dir, "open.key"), secretKey, 0o666)
	if strings.Contains(content, "large.key") {
		writeFile(t, filepath.Join(dir, "large.key"), strings.Repeat(secretKey, 1<<15)+"\n", 0o600)
	}
	return writeFile(t, filepath.Join(dir, "credentials.yaml"), strings.ReplaceAll(content, "DIR", dir), 0o600)
}

func app(appID, key string, mids ...string) App {
	return App{Credentials: chinaums.Credentials{AppID: appID, AppKey: key}, MIDs: mids}
}

func TestCredentialsAreRead(t *testing.T) {
	t.Parallel()
	const inline = "\n  app_key: " + secretKey
	one := []App{app("app", secretKey, "898201612345678")}
	tests := map[string]struct {
		content string
		want    []App
	}{
		"a list": {
			"- app_id: \"10037e\"\n  app_key_file: secret.key\n  mids: [\"898201612345678\", \"898340149000005\"]\n- app_id: other" + inline + "\n  mids:\n  - \"11112222\"\n",
			[]App{app("10037e", secretKey, "898201612345678", "898340149000005"), app("other", secretKey, "11112222")},
		},
		"under a key":     {"credentials:\n- app_id: app\n  app_key_file: DIR/secret.key\n  mids: [\"898201612345678\"]\n", one},
		"Windows":         {"\ufeff- app_id: app\r\n  app_key_file: windows.key\r\n  mids: [\"898201612345678\"]\r\n", one},
		"markers":         {"# who asks\n---\n- app_id: app" + inline + "\n  mids: [898201612345678]\n...\n", one},
		"JSON":            {`[{"app_id":"app","app_key":"` + secretKey + `","mids":["898201612345678"]}]`, one},
		"unquoted id":     {"- app_id: 0012e5" + inline + "\n  mids: [898201612345678]", []App{app("0012e5", secretKey, "898201612345678")}},
		"unquoted key":    {"- app_id: app\n  app_key: 0x1F_00\n  mids: [898201612345678]", []App{app("app", "0x1F_00", "898201612345678")}},
		"unquoted yes":    {"- app_id: yes\n  app_key: 1e3\n  mids: [898201612345678]", []App{app("yes", "1e3", "898201612345678")}},
		"8 and 32":        {"- app_id: app" + inline + "\n  mids: [商户商户商户商户, 12345678901234567890123456789012]", []App{app("app", secretKey, "商户商户商户商户", "12345678901234567890123456789012")}},
		"numbers as such": {"- app_id: app" + inline + "\n  mids: [00123456, 0o123456, 0x123456, 1_234_567, 12345e10, 123456.0, 2026-01-02, +1234567, 0b101010]", []App{app("app", secretKey, "00123456", "0o123456", "0x123456", "1_234_567", "12345e10", "123456.0", "2026-01-02", "+1234567", "0b101010")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := ReadFile(credentialsFolder(t, tt.content))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The error names everything that is wrong at once, each with its place, and never a key.
func TestCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	const id, inline, mids = "- app_id: app", "\n  app_key: " + secretKey, "\n  mids: [\"898201612345678\"]\n"
	const at = ` entry 1 (app "app"): `
	const key = at + "the app key must be one text without spaces and control characters: check the line, or quote it"
	const noKey = "no app key: set app_key (in quotes) or app_key_file"
	const noID = "app_id is missing: set it to the one that ChinaUMS gave"
	const syntax = ": check indentation, the space after each colon, and quotes"
	line := func(n int) string { return fmt.Sprintf(" line %d: %s", n, wantField) }
	tests := map[string]struct {
		content string
		want    []string // after the file's name; DIR is its folder
	}{
		"empty":               {"", []string{" is empty: it " + wantList}},
		"comments":            {"# " + secretKey + "\n", []string{" is empty: it " + wantList}},
		"null":                {"---\n", []string{" " + wantList}},
		"empty list":          {"[]", []string{" " + wantList}},
		"empty under the key": {"credentials:\n", []string{" " + wantList}},
		"a text":              {secretKey, []string{" " + wantList}},
		"no list":             {id[2:] + strings.ReplaceAll(inline, "  ", "") + "\n", []string{line(1), line(2)}},
		"beside the list":     {"credentials:\n" + id + inline + mids + "rate: 5\n", []string{line(5)}},
		"list twice":          {"credentials:\n" + id + inline + mids + "credentials: []\n", []string{line(5)}},
		"second document":     {id + inline + mids + "---\n" + id + inline + mids, []string{" line 4: a second document begins: keep all entries in one list"}},
		"bad second document": {id + inline + mids + "---\n- *" + secretKey, []string{" is not valid YAML" + syntax}},
		"entries that are none": {
			"- " + secretKey + "\n- [" + secretKey + "]\n", []string{line(1), line(2)},
		},
		"an entry left empty": {"-\n", []string{" " + wantList}},
		"entry of nothing": {"- {}\n", []string{
			" entry 1: " + noID, " entry 1: " + noKey, " entry 1: no mids: list the merchants that the app asks for",
		}},

		"unknown key":         {id + "\n  appkey: " + secretKey + mids, []string{line(2)}},
		"key as a key":        {id + "\n  " + secretKey + ": app_key" + mids, []string{line(2)}},
		"no space":            {"- {app_id: app,\n  app_key:" + secretKey + ", mids: [11112222]}", []string{line(2)}},
		"app_id twice within": {id + "\n  app_id: app" + inline + mids, []string{line(2)}},
		"app_key twice":       {id + inline + inline + mids, []string{line(3)}},

		"app_id missing":       {"- app_key: " + secretKey + mids, []string{" entry 1: " + noID}},
		"app_id empty":         {"- app_id:" + inline + mids, []string{" entry 1: " + noID}},
		"app_id no text":       {"- app_id: [app]" + inline + mids, []string{line(1)}},
		"app_id with the key":  {id + "\n    app_key: " + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"app_id runs on":       {id + "\n    app_key " + secretKey + mids, []string{" entry 1: app_id must have no spaces, quotes, commas and control characters", " entry 1: " + noKey}},
		"app_id holds a comma": {id + ",app_key:" + secretKey + mids, []string{" entry 1: app_id must have no spaces, quotes, commas and control characters", " entry 1: " + noKey}},
		"app_id twice":         {id + inline + mids + id + inline + "\n  mids: [11112222]", []string{` entry 2 (app "app"): app_id is given twice, first in entry 1: put all its mids into one entry`}},

		"no key":           {id + mids, []string{at + noKey}},
		"both keys":        {id + inline + "\n  app_key_file: secret.key" + mids, []string{at + "app_key and app_key_file are both given: keep one"}},
		"key empty":        {id + "\n  app_key: ''" + mids, []string{at + noKey}},
		"key a comment":    {id + "\n  app_key: #" + secretKey + mids, []string{at + noKey}},
		"key an anchor":    {id + "\n  app_key: &" + secretKey + mids, []string{at + noKey}},
		"key an alias":     {id + "\n  app_key: *" + secretKey + mids, []string{" is not valid YAML" + syntax}},
		"key a tag":        {id + "\n  app_key: !" + secretKey + " x y" + mids, []string{key}},
		"key a directive":  {id + "\n  app_key: %" + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"key a list":       {id + "\n  app_key: [" + secretKey + "]" + mids, []string{line(2)}},
		"key a mapping":    {id + "\n  app_key: {" + secretKey + ": 1}" + mids, []string{line(2)}},
		"key with spaces":  {id + inline + " " + secretKey + mids, []string{key}},
		"key on two lines": {id + inline + "\n   " + secretKey + mids, []string{key}},
		"key with newline": {id + "\n  app_key: |\n    " + secretKey + mids, []string{key}},
		"key with NUL":     {id + "\n  app_key: \"" + secretKey + "\\0\"" + mids, []string{key}},
		"key unseen":       {id + "\n  app_key: \"" + secretKey + "\\u200b\"" + mids, []string{key}},
		"no colon":         {id + "\n  app_key " + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"colon and tab":    {id + "\n\tapp_key: " + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"quote left open":  {id + "\n  app_key: \"" + secretKey + mids, []string{" is not valid YAML near line 2" + syntax}},
		"bad escape":       {id + "\n  app_key: \"\\" + secretKey + "\"" + mids, []string{" is not valid YAML near line 2" + syntax}},

		"key file missing":    {id + "\n  app_key_file: none.key" + mids, []string{at + "app_key_file cannot be read: no such file or directory"}},
		"key for a file":      {id + "\n  app_key_file: " + secretKey + mids, []string{at + "app_key_file cannot be read: no such file or directory"}},
		"key file empty":      {id + "\n  app_key_file: empty.key" + mids, []string{at + "app_key_file DIR/empty.key is empty: put the key into it"}},
		"key file unnamed":    {id + "\n  app_key_file:" + mids, []string{at + noKey}},
		"key file of two":     {id + "\n  app_key_file: two.key" + mids, []string{key}},
		"key file changeable": {id + "\n  app_key_file: open.key" + mids, []string{at + "app_key_file DIR/open.key can be changed by others (mode 0666): chmod go-w it"}},
		"key file large":      {id + "\n  app_key_file: DIR/large.key" + mids, []string{at + "app_key_file DIR/large.key is larger than 1 MiB, so it is not a file of secrets"}},
		"key file a folder":   {id + "\n  app_key_file: ." + mids, []string{at + "app_key_file DIR is not a regular file"}},
		"key file a list":     {id + "\n  app_key_file: [secret.key]" + mids, []string{line(2)}},

		"no mids":        {id + inline, []string{at + "no mids: list the merchants that the app asks for"}},
		"mids null":      {id + inline + "\n  mids:", []string{at + "no mids: list the merchants that the app asks for"}},
		"mids empty":     {id + inline + "\n  mids: []", []string{at + "no mids: list the merchants that the app asks for"}},
		"mids a text":    {id + inline + "\n  mids: 898201612345678", []string{line(3)}},
		"mid a list":     {id + inline + "\n  mids: [[11112222]]", []string{line(3)}},
		"mid twice":      {id + inline + "\n  mids: [\"00123456\", 00123456]", []string{at + "mid 00123456 is listed twice: keep one"}},
		"mid under two":  {id + inline + mids + "- app_id: other" + inline + mids, []string{` entry 2 (app "other"): mid 898201612345678 is also in entry 1: one app must ask for it`}},
		"mids of a form": {id + inline + "\n  mids: [1234567, '', \"1234 678\", \"12345678\\n\", 123456789012345678901234567890123, 商户商户商户商]", midProblems()},
		"key for a mid":  {id + inline + "\n  mids: [" + secretKey + ", " + secretKey + "]", []string{at + "mid is listed twice: keep one"}},

		"all at once": {
			id + "\n  mids: [short]\n- app_key: ''\n  mids: [11112222]\n" + id + "\n  app_key_file: open.key\n  mids: [11112222]\n",
			[]string{
				at + noKey,
				at + "a mid must have 8 to 32 characters, not 5",
				" entry 2: " + noID,
				" entry 2: " + noKey,
				` entry 3 (app "app"): app_id is given twice, first in entry 1: put all its mids into one entry`,
				` entry 3 (app "app"): app_key_file DIR/open.key can be changed by others (mode 0666): chmod go-w it`,
				` entry 3 (app "app"): mid 11112222 is also in entry 2: one app must ask for it`,
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := credentialsFolder(t, tt.content)
			got, _, err := ReadFile(path)
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
	const at = ` entry 1 (app "app"): a mid must have `
	const blank, length = at + "no spaces and control characters", at + "8 to 32 characters, not "
	return []string{length + "7", length + "0", blank, blank, length + "33", length + "7"}
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
		got, _, err := ReadFile(path)
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
	c := app("app", secretKey, "898201612345678")
	list := []App{c}
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
