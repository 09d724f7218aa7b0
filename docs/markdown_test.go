package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// root is the project's root, seen from here.
const root = ".."

// document is one Markdown file.
type document struct {
	path     string // from the root, with slashes
	text     string
	prose    string // the text without its fenced blocks
	blocks   []block
	headings []string // anchors of the headings, as GitHub makes them
}

// block is a fenced block.
type block struct {
	language string
	line     int // of its first line
	text     string
}

func readDocument(t *testing.T, path string) document {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	d := document{path: path, text: string(content)}
	var prose, code strings.Builder
	fenced, language, begin := false, "", 0
	for i, line := range strings.Split(d.text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !fenced:
			fenced, language, begin = true, fence, i+2
			code.Reset()
		case isFence:
			fenced = false
			d.blocks = append(d.blocks, block{language, begin, code.String()})
		case fenced:
			code.WriteString(line + "\n")
		default:
			prose.WriteString(line + "\n")
			if strings.HasPrefix(line, "#") {
				d.headings = append(d.headings, anchorOf(strings.TrimLeft(line, "# ")))
			}
		}
	}
	if fenced {
		t.Errorf("%s:%d: the block has no end", path, begin)
	}
	d.prose = prose.String()
	return d
}

// anchorOf is the anchor that GitHub gives a heading: lower case, spaces as hyphens, no punctuation.
func anchorOf(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// allDocuments reads every Markdown file of the root and of docs.
func allDocuments(t *testing.T) []document {
	t.Helper()
	var list []document
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, readDocument(t, filepath.ToSlash(rel)))
		}
	}
	return list
}

var (
	link     = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)\s]+\)`)
	codeSpan = regexp.MustCompile("`[^`]*`")
)

// sentences splits prose. A paragraph, a list's item and a table's cell end a sentence too.
func (d document) sentences() []string {
	var lines []string
	for line := range strings.SplitSeq(d.prose, "\n") {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "|"):
			for cell := range strings.SplitSeq(trimmed, "|") {
				lines = append(lines, cell, "")
			}
		case strings.HasPrefix(trimmed, "#"):
			lines = append(lines, "", trimmed, "")
		case strings.HasPrefix(trimmed, "- "):
			lines = append(lines, "", trimmed)
		default:
			lines = append(lines, trimmed)
		}
	}
	text := linkText.ReplaceAllString(strings.Join(lines, "\n"), "$1")
	text = codeSpan.ReplaceAllString(text, "code")
	return regexp.MustCompile(`[.!?:;](\s|$)|\n\s*\n`).Split(strings.ReplaceAll(text, "**", ""), -1)
}

// words counts what has a letter or a digit.
func words(sentence string) int {
	n := 0
	for word := range strings.FieldsSeq(sentence) {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			n++
		}
	}
	return n
}
