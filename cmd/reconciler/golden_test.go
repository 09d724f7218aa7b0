package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goldenOf compares an output with its file, in which what differs from run to run is made the
// same.
func goldenOf(t *testing.T, name, output string) {
	t.Helper()
	for _, same := range []struct{ of, becomes string }{
		{`\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(\.\d+)?`, "2026-01-31${1}12:00:00"},
		{`"db_user": "\w+"`, `"db_user": "postgres"`},
		{`\(\w+\)  cli`, "(postgres)  cli"},
		{`("?duration_seconds"?:? +)[\d.]+`, "${1}0.1"},
		{`PostgreSQL [\d.]+( \([^)]*\))?`, "PostgreSQL 15.1"},
		{`[\d.]+ ms away`, "1 ms away"},
		{`database's by [\d.]+ ms`, "database's by 1 ms"},
		{`(延迟|相差) [\d.]+ 毫秒`, "$1 1 毫秒"},
		{`\b\d+ s\b`, "1 s"},
		{`\d+ 秒`, "1 秒"},
		{`\d+ min 1 s`, "1 min 1 s"},
		{`\d+ 分 1 秒`, "1 分 1 秒"},
	} {
		output = regexp.MustCompile(same.of).ReplaceAllString(output, same.becomes)
	}
	path := filepath.Join("testdata", "people", name)
	if *update {
		if err := os.WriteFile(path, []byte(output), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), output); diff != "" {
		t.Errorf("%s (-want +got), go test -update rewrites it:\n%s", path, diff)
	}
}

// goldens compares the text and the JSON of a command in both languages.
func (w *world) goldens(t *testing.T, code int, name string, args ...string) {
	t.Helper()
	for _, lang := range []string{"en", "zh"} {
		for _, form := range []string{"text", "json"} {
			r := w.invoke(t, append(slices.Clone(args), "--lang="+lang, "--output="+form)...)
			r.want(t, code)
			goldenOf(t, name+"."+lang+"."+form, r.stdout)
			if r.stderr != "" {
				t.Errorf("stderr: %s", r.stderr)
			}
		}
	}
}

// document runs a command with --output json and reads the one document on stdout.
func document[T any](t *testing.T, w *world, code int, args ...string) T {
	t.Helper()
	r := w.invoke(t, append(slices.Clone(args), "--output=json")...)
	r.want(t, code)
	decoder := json.NewDecoder(bytes.NewReader([]byte(r.stdout)))
	decoder.DisallowUnknownFields()
	var v T
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	if decoder.More() {
		t.Errorf("stdout holds more than one document:\n%s", r.stdout)
	}
	return v
}

// wantKeys checks the keys of an object, all of them.
func wantKeys(t *testing.T, what string, object any, keys ...string) {
	t.Helper()
	m, ok := object.(map[string]any)
	if !ok {
		t.Errorf("%s is %T, want an object", what, object)
		return
	}
	var got []string
	for key := range m {
		got = append(got, key)
	}
	slices.Sort(got)
	slices.Sort(keys)
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Errorf("keys of %s (-want +got):\n%s", what, diff)
	}
}
