package main

import (
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// appKeyVariable holds the key itself, which has no flag.
const appKeyVariable = "CHINAUMS_APP_KEY"

func hasOurPrefix(variable string) bool {
	return strings.HasPrefix(variable, "RECONCILER_") || strings.HasPrefix(variable, "CHINAUMS_")
}

// unsetEmptyVariables makes an empty variable count as unset. The flag library would take "" as the
// setting's text, which is no number and no duration.
func unsetEmptyVariables(environ []string) {
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		if text == "" && (hasOurPrefix(name) || name == "DATABASE_URL") {
			_ = os.Unsetenv(name) // fails for names that no environment can hold
		}
	}
}

// knownVariables lists the variables of all settings of all commands, and those of the demo and the
// tests.
func knownVariables(model *kong.Application) []string {
	known := []string{appKeyVariable, webhookSecretVariable, "RECONCILER_PG_BIN", "RECONCILER_TEST_DATABASE_URL"}
	_ = kong.Visit(model, func(node kong.Visitable, next kong.Next) error { // no visit fails
		if flag, ok := node.(*kong.Flag); ok {
			known = append(known, flag.Envs...)
		}
		return next(nil)
	})
	slices.Sort(known)
	return slices.Compact(known)
}

// unknownVariable is a variable with our prefix that is no setting.
type unknownVariable struct{ name, nearest string }

func unknownVariables(environ, known []string) []unknownVariable {
	var found []unknownVariable
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if hasOurPrefix(name) && !slices.Contains(known, name) {
			found = append(found, unknownVariable{name: name, nearest: nearestName(name, known)})
		}
	}
	return found
}

// warnAboutVariables logs the unknown variables: a mistyped name would otherwise set nothing in
// silence.
func (p *process) warnAboutVariables(environ []string) {
	for _, unknown := range unknownVariables(environ, knownVariables(p.model)) {
		p.newLogger().LogAttrs(p.ctx, slog.LevelWarn, "unknown setting",
			slog.String("name", unknown.name), slog.String("nearest", unknown.nearest))
	}
}

func nearestName(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return editDistance(name, a) - editDistance(name, b) })
}

// editDistance counts the characters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
