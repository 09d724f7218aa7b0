package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

func TestVisibleText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "",
		"plain, ¥1,290.00 工商银行 “x” a\\b": "plain, ¥1,290.00 工商银行 “x” a\\b",
		"\x1b[31mred\x1b[0m":             `\x1b[31mred\x1b[0m`,
		"\x1b]0;title\a":                 `\x1b]0;title\a`,
		"\u009b31m":                      `\u009b31m`,
		"a\u202eb\u2066c\u200bd":         `a\u202eb\u2066c\u200bd`,
		"one\nreconciler: two\r\tthree":  `one\nreconciler: two\r\tthree`,
		"a\u2028b\u0085c":                `a\u2028b\u0085c`,
		"bad \xff\xc3":                   "bad \uFFFD",
		"\U000E0041":                     `\U000e0041`,
		"\x7f\x00":                       `\x7f\x00`,
	} {
		if got := visibleText(text); got != want {
			t.Errorf("visibleText(%q) = %s, want %s", text, got, want)
		}
	}
	if got := visibleLines("one\n  two\x1b\r"); got != "one\n  two\\x1b\\r" {
		t.Errorf("visibleLines = %q", got)
	}
}

func TestVisibleTextHasNoControls(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		if got := visibleText(text); strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("%q became %q", text, got)
		}
	})
}

// JSON keeps the values, and a terminal that shows the document sees no control character.
func TestWriteJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		raw, err := json.Marshal(map[string]string{"\u009b" + value: value})
		if err != nil {
			t.Fatal(err)
		}
		document := map[string]any{"value": value, "raw": json.RawMessage(raw)}
		var out bytes.Buffer
		if err := writeJSON(&out, document); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
			t.Errorf("%q became %q", value, out.String())
		}
		var got struct {
			Value string
			Raw   map[string]string
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%q: %v", out.String(), err)
		}
		if got.Value != value || got.Raw["\u009b"+value] != value {
			t.Errorf("%q came back as %+v", value, got)
		}
	})
}

func TestLogSpellsDurations(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"json": `"after":"1m30s"`, "text": "after=1m30s"} {
		var log bytes.Buffer
		logSettings{Level: "info", Format: format}.newLogger(&log, false).Info("", "after", 90*time.Second+time.Microsecond)
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s: the line is %s, want %s", format, log.String(), want)
		}
	}
}
