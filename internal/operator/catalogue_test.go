package operator_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every message has both languages, with the same arguments, and somebody says it.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	const languages = "\x00"
	messages, used := readMessages(t)
	if len(messages) < 50 {
		t.Fatalf("%d messages were found", len(messages))
	}
	for name, text := range messages {
		english, chinese, found := strings.Cut(text, languages)
		if !found || english == "" || chinese == "" || strings.Contains(chinese, languages) {
			t.Errorf("%s lacks a language: %q", name, text)
			continue
		}
		if e, c := verbs(english), verbs(chinese); !slices.Equal(e, c) {
			t.Errorf("%s: arguments differ: %v, %v", name, e, c)
		}
		for _, format := range []string{english, chinese} {
			if said := fmt.Sprintf(format, sampleArgs(english)...); strings.Contains(said, "%!") {
				t.Errorf("%s cannot be said: %s", name, said)
			}
		}
		if !regexp.MustCompile(`\p{Han}`).MatchString(chinese) && regexp.MustCompile(`[a-z]{3}`).MatchString(chinese) && chinese == english {
			t.Errorf("%s is not translated: %q", name, chinese)
		}
		if !used[name] {
			t.Errorf("nobody says %s", name)
		}
	}
}

// noImports is enough for the constants.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) { return nil, errors.New(path) }

// readMessages evaluates the constants of the type message, and finds where they are used.
func readMessages(t *testing.T) (messages map[string]string, used map[string]bool) {
	t.Helper()
	files := token.NewFileSet()
	packages, err := parser.ParseDir(files, ".", nil, 0) //nolint:staticcheck // the files of this folder are one package and its tests
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, name := range sortedNames(packages["operator"].Files) {
		parsed = append(parsed, packages["operator"].Files[name])
	}
	info := &types.Info{Defs: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	_, _ = config.Check("operator", files, parsed, info)
	messages, used = make(map[string]string), make(map[string]bool)
	for id, object := range info.Defs {
		if c, ok := object.(*types.Const); ok && strings.HasSuffix(c.Type().String(), "operator.message") {
			messages[id.Name] = constant.StringVal(c.Val())
		}
	}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && info.Defs[id] == nil {
				used[id.Name] = true
			}
			return true
		})
	}
	return messages, used
}

func sortedNames(files map[string]*ast.File) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sampleArgs are arguments of the English format, which has them in their order.
func sampleArgs(english string) []any {
	var args []any
	for _, verb := range verbs(english) {
		args = append(args, map[byte]any{'d': 1, 's': "text", 'q': "text", 'f': 1.5, 'g': 1.5}[verb[len(verb)-1]])
	}
	return args
}

// verbs lists the arguments of a format, each with its verb.
func verbs(format string) []string {
	var list []string
	next := 1
	for _, m := range regexp.MustCompile(`%([-+0-9.]*)(?:\[(\d)\])?([a-z%])`).FindAllStringSubmatch(format, -1) {
		if m[3] == "%" {
			continue
		}
		if m[2] != "" {
			next = int(m[2][0] - '0')
		}
		list = append(list, string(rune('0'+next))+m[1]+m[3])
		next++
	}
	slices.Sort(list)
	return list
}
