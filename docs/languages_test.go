package docs_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/order"
)

// names collects what has one spelling in every language: settings, flags, metrics, alerts,
// statuses and codes, the commands of the program, and the review reasons.
func names(t *testing.T, d document) []string {
	t.Helper()
	found := make(map[string]bool)
	for _, form := range []string{
		`\b(?:RECONCILER|CHINAUMS)_[A-Z_]*[A-Z]\b`, `--[a-z][a-z-]*[a-z]\b`, `\breconciler_[a-z_]+\b`, `\bReconciler[A-Z]\w+`,
		`\b[A-Z]+(?:_[A-Z]+)+\b`, `\border\.[a-z_]+\b`,
	} {
		for _, name := range regexp.MustCompile(form).FindAllString(d.text, -1) {
			found[name] = true
		}
	}
	for command := range helps(t) {
		if regexp.MustCompile(`\breconciler ` + command + `\b`).MatchString(d.text) {
			found["reconciler "+command] = true
		}
	}
	for _, reason := range order.ReviewReasons() {
		if strings.Contains(d.text, "`"+reason+"`") {
			found[reason] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// sql is all of a page's SQL without comments and layout.
func sql(d document) []string {
	var list []string
	for _, b := range d.blocks {
		if b.language != "sql" {
			continue
		}
		for _, statement := range statements(b.text) {
			bare := regexp.MustCompile(`--[^\n]*`).ReplaceAllString(statement, "")
			list = append(list, strings.Join(strings.Fields(bare), " "))
		}
	}
	return list
}

// A page in Chinese names the same settings, commands, reasons, metrics and alerts as its English
// one, and shows the same SQL.
func TestBothLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	for english, chinese := range map[string]string{
		"README.md":         "README.zh-CN.md",
		"docs/adopt.md":     "docs/zh-CN/adopt.md",
		"docs/decisions.md": "docs/zh-CN/decisions.md",
		"docs/operate.md":   "docs/zh-CN/operate.md",
	} {
		en, zh := readDocument(t, english), readDocument(t, chinese)
		if diff := cmp.Diff(names(t, en), names(t, zh)); diff != "" {
			t.Errorf("names of %s (-) and %s (+):\n%s", english, chinese, diff)
		}
		if diff := cmp.Diff(sql(en), sql(zh)); diff != "" {
			t.Errorf("SQL of %s (-) and %s (+):\n%s", english, chinese, diff)
		}
	}
}
