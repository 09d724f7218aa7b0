package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// setting is a flag that the environment can set, as --help shows it.
type setting struct{ flag, value, env string }

var (
	flagLine    = regexp.MustCompile(`(?m)^ {2,}(?:-\w, )?--([a-z][a-z-]*)(?:=("[^"]*"|\S+))?(?: .*)?(?:\n {10,}.*)*`)
	environment = regexp.MustCompile(`\(\$([A-Z_]+)\)`)
)

// helps reads what the commands' --help prints, by command. A test of cmd/reconciler compares these
// files with the program.
func helps(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "cmd/reconciler/testdata/help/*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no help is there: %v", err)
	}
	byCommand := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		usage, _, _ := strings.Cut(string(text), "\n")
		command, _, _ := strings.Cut(strings.TrimPrefix(usage, "Usage: reconciler "), " -")
		command, _, _ = strings.Cut(command, " [")
		command, _, _ = strings.Cut(command, " <")
		byCommand[command] = string(text)
	}
	return byCommand
}

func settings(t *testing.T) []setting {
	t.Helper()
	var list []setting
	for _, help := range helps(t) {
		for _, match := range flagLine.FindAllStringSubmatch(help, -1) {
			env := environment.FindStringSubmatch(match[0])
			if env == nil {
				continue
			}
			s := setting{match[1], strings.Trim(match[2], `"`), env[1]}
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list
}

// A setting's row has its variable, its flag and its default.
func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	all := settings(t)
	if len(all) < 20 {
		t.Fatalf("only %d settings were found in the help: %v", len(all), all)
	}
	rows := strings.Split(readDocument(t, "docs/settings.md").text, "\n")
	for _, s := range all {
		i := slices.IndexFunc(rows, func(row string) bool { return strings.HasPrefix(row, "| `"+s.env+"` ") })
		if i < 0 {
			t.Errorf("docs/settings.md has no row for %s", s.env)
			continue
		}
		cells := strings.Split(rows[i], "|")
		if len(cells) != 6 || !strings.Contains(cells[2], "`--"+s.flag+"`") {
			t.Errorf("docs/settings.md does not name --%s beside %s: %s", s.flag, s.env, rows[i])
			continue
		}
		wanted := s.value
		if wanted == strings.ToUpper(wanted) || strings.Contains(wanted, "|") { // a placeholder, or none: a switch
			continue
		}
		if got := strings.Trim(strings.TrimSpace(cells[3]), "`"); got != wanted {
			t.Errorf("docs/settings.md gives %s the default %q, the program has %q", s.env, got, wanted)
		}
	}
}

// What a page calls a setting is one.
func TestDocumentedSettingsExist(t *testing.T) {
	t.Parallel()
	known := []string{"CHINAUMS_APP_KEY", "RECONCILER_WEBHOOK_SECRET", "RECONCILER_TEST_DATABASE_URL"} // secrets, and the tests' own
	for _, s := range settings(t) {
		known = append(known, s.env)
	}
	for _, d := range allDocuments(t) {
		for _, name := range regexp.MustCompile(`(?:RECONCILER|CHINAUMS)_[A-Z_]*[A-Z]`).FindAllString(d.text, -1) {
			if !slices.Contains(known, name) && d.path != "CHANGELOG.md" {
				t.Errorf("%s names %s, which is no setting", d.path, name)
			}
		}
	}
}

// Every command, except those that only group others, is shown on some page.
func TestEveryCommandIsDocumented(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, d := range allDocuments(t) {
		if d.path != "CHANGELOG.md" {
			text.WriteString(d.text)
		}
	}
	for command, help := range helps(t) {
		if command == "reconciler" || strings.Contains(help, "\nCommands:\n") {
			continue
		}
		if !strings.Contains(text.String(), "reconciler "+command) {
			t.Errorf("no page shows reconciler %s", command)
		}
	}
}

// The codes of the decision table mean what their rows say, in both languages.
func TestDocumentedCodes(t *testing.T) {
	t.Parallel()
	classes := map[string]chinaums.Class{
		"10": chinaums.ClassNoOrder, "11": chinaums.ClassProcessing, "12": chinaums.ClassBadRequest,
		"13": chinaums.ClassCredentials, "14": chinaums.ClassMerchant, "15": chinaums.ClassTransient,
	}
	for _, path := range []string{"docs/decisions.md", "docs/zh-CN/decisions.md"} {
		codes := 0
		for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \|([^|]*)\|`).FindAllStringSubmatch(readDocument(t, path).text, -1) {
			class, found := classes[row[1]]
			if !found {
				continue
			}
			for _, code := range regexp.MustCompile("`([A-Z0-9_]+)`").FindAllStringSubmatch(row[2], -1) {
				codes++
				if got := chinaums.Classify(200, code[1], false); got != class {
					t.Errorf("%s has %s in row %s, the program takes it for %s", path, code[1], row[1], got)
				}
			}
		}
		if codes != 22 { // as many as classOfCode knows
			t.Errorf("%s has %d codes in its rows", path, codes)
		}
	}
}

func TestEveryReviewReasonHasASection(t *testing.T) {
	t.Parallel()
	headings := readDocument(t, "docs/decisions.md").headings
	for _, reason := range order.ReviewReasons() {
		if !slices.Contains(headings, reason) {
			t.Errorf("docs/decisions.md has no section %s", reason)
		}
	}
}

func TestEveryAlertHasASection(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root, "examples/alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	var alerts []string
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Alert)
		}
	}
	sections := regexp.MustCompile(`(?m)^### (Reconciler\w+)$`).FindAllStringSubmatch(readDocument(t, "docs/operate.md").text, -1)
	for _, section := range sections {
		if !slices.Contains(alerts, section[1]) {
			t.Errorf("docs/operate.md has a section %s, which is no alert", section[1])
		}
	}
	for _, alert := range alerts {
		if !slices.ContainsFunc(sections, func(s []string) bool { return s[1] == alert }) {
			t.Errorf("docs/operate.md has no section %s", alert)
		}
	}
}
