package docs_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A link leads to a file that is there and, where it has an anchor, to a heading of it.
func TestLinksResolve(t *testing.T) {
	t.Parallel()
	documents := make(map[string]document)
	for _, d := range allDocuments(t) {
		documents[d.path] = d
	}
	for _, d := range documents {
		for _, match := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(d.prose, ""), -1) {
			target := match[1]
			if strings.HasPrefix(target, "https://") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			if file = path.Join(path.Dir(d.path), file); strings.HasPrefix(target, "#") {
				file = d.path
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s links to %s, which is not there", d.path, target)
			}
			if anchor != "" && !slices.Contains(documents[file].headings, anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", d.path, target, file)
			}
		}
	}
}

// Every page can be reached from the README.
func TestEveryPageIsLinked(t *testing.T) {
	t.Parallel()
	var linked []string
	for _, d := range allDocuments(t) {
		for _, match := range link.FindAllStringSubmatch(d.prose, -1) {
			file, _, _ := strings.Cut(match[1], "#")
			if target := path.Join(path.Dir(d.path), file); target != d.path {
				linked = append(linked, target)
			}
		}
	}
	for _, d := range allDocuments(t) {
		if d.path != "README.md" && !slices.Contains(linked, d.path) {
			t.Errorf("no page links to %s", d.path)
		}
	}
}

// The tests that a page names as its proof are there.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, pattern := range []string{"cmd/*/*_test.go", "internal/*/*_test.go", "docs/*_test.go"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(content)
		}
	}
	for _, d := range allDocuments(t) {
		for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(d.prose, -1) {
			if !strings.Contains(tests.String(), "\nfunc "+name[1]+"(") {
				t.Errorf("%s names %s, which is no test", d.path, name[1])
			}
		}
	}
}

func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	const maxLines = 150
	if n := strings.Count(readDocument(t, "README.md").text, "\n"); n > maxLines {
		t.Errorf("README.md has %d lines, want at most %d", n, maxLines)
	}
}

// The tree of the README has every package, and nothing that is not there.
func TestTreeIsComplete(t *testing.T) {
	t.Parallel()
	readme := readDocument(t, "README.md")
	for line := range strings.SplitSeq(readme.text, "\n") {
		folder, _, _ := strings.Cut(line, " ")
		if !strings.HasSuffix(folder, "/") {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, folder)); err != nil {
			t.Errorf("README.md shows %s: %v", folder, err)
		}
	}
	packages, err := filepath.Glob(filepath.Join(root, "internal/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range packages {
		if !strings.Contains(readme.text, "\ninternal/"+filepath.Base(folder)+"/ ") {
			t.Errorf("README.md does not show internal/%s", filepath.Base(folder))
		}
	}
}

// A rough check: a long sentence is two.
func TestSentencesAreShort(t *testing.T) {
	t.Parallel()
	const maxWords = 25
	for _, path := range []string{
		"README.md", "CONTRIBUTING.md", "docs/adopt.md", "docs/decisions.md", "docs/design.md", "docs/install.md", "docs/operate.md", "docs/scaling.md", "docs/settings.md",
	} {
		for _, sentence := range readDocument(t, path).sentences() {
			if n := words(sentence); n > maxWords {
				t.Errorf("%s: a sentence has %d words: %s", path, n, strings.Join(strings.Fields(sentence), " "))
			}
		}
	}
}
