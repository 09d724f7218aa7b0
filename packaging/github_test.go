package packaging_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// GitHub shows no form, and says nothing, where one lacks a field that it needs.
func TestIssueForms(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../.github/ISSUE_TEMPLATE/*.yml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("%v: %v", paths, err)
	}
	for _, path := range paths {
		if filepath.Base(path) == "config.yml" {
			continue
		}
		var form struct {
			Name, Description string
			Body              []struct {
				Type, ID   string
				Attributes struct {
					Label, Value string
					Options      []string
				}
			}
		}
		readYAML(t, path, &form)
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s: %+v", path, form)
		}
		ids := make(map[string]bool)
		for _, field := range form.Body {
			text := field.Attributes.Label + field.Attributes.Value
			if text == "" || field.Type != "markdown" && (field.ID == "" || ids[field.ID]) || field.Type == "dropdown" && len(field.Attributes.Options) == 0 {
				t.Errorf("%s: %+v", path, field)
			}
			ids[field.ID] = true
		}
	}
}

// Dependabot is silent about a folder that has nothing for it.
func TestDependabotsFoldersExist(t *testing.T) {
	t.Parallel()
	var config struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directory   string
			Directories []string
		}
	}
	readYAML(t, "../.github/dependabot.yml", &config)
	files := map[string]string{
		"gomod": "go.mod", "github-actions": ".github/workflows/ci.yml", "docker": "Dockerfile", "docker-compose": "docker-compose.yml",
	}
	for _, update := range config.Updates {
		for _, dir := range append(update.Directories, update.Directory) {
			if dir == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", dir, files[update.Ecosystem])); err != nil || files[update.Ecosystem] == "" {
				t.Errorf("%s: %v", update.Ecosystem, err)
			}
		}
	}
	if len(config.Updates) != len(files) {
		t.Errorf("%d ecosystems, want %d", len(config.Updates), len(files))
	}
}

// A pattern that matches nothing leaves its files out of the archives, silently.
func TestReleaseHasThePages(t *testing.T) {
	t.Parallel()
	var config struct {
		Archives []struct{ Files []string }
	}
	readYAML(t, "../.goreleaser.yaml", &config)
	if len(config.Archives) != 1 {
		t.Fatalf("%d archives", len(config.Archives))
	}
	packed := make(map[string]bool)
	for _, pattern := range config.Archives[0].Files {
		paths, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil || len(paths) == 0 {
			t.Errorf("%s matches nothing: %v", pattern, err)
		}
		for _, path := range paths {
			packed[path] = true
		}
	}
	for _, pattern := range []string{"../docs/*.md", "../docs/*/*.md", "../docs/images/*", "../examples/*.*", "../examples/*/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if !packed[path] {
				t.Errorf("%s is in no archive", path)
			}
		}
	}
}
