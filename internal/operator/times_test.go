package operator_test

import (
	"strings"
	"testing"
	"time"

	"reconciler/internal/operator"
)

func TestParseUntil(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	zone := time.FixedZone("", 8*3600) // it is the 27th there
	for text, want := range map[string]string{
		"2h":                        "2026-11-26T22:00:00Z",
		"1.5h":                      "2026-11-26T21:30:00Z",
		"3d":                        "2026-11-29T20:00:00Z",
		"2026-11-28":                "2026-11-27T16:00:00Z",
		"2026-11-27 09:00":          "2026-11-27T01:00:00Z",
		"2026-11-27T09:00:00+05:45": "2026-11-27T03:15:00Z",
		"2026-11-27":                "", // its beginning has passed
		"-2h":                       "",
		"-3d":                       "",
		"0d":                        "",
		"99999d":                    "",
		"1.5d":                      "",
		"d":                         "",
		"2026-11-28 24:00":          "",
		"tomorrow":                  "",
	} {
		at, err := operator.ParseUntil(text, now, zone)
		if (err == nil) != (want != "") || (err == nil && at.UTC().Format(time.RFC3339) != want) {
			t.Errorf("%s: %v, %v, want %q", text, at, err, want)
		}
	}
	for text, want := range map[string]string{"2026-11-27": "it was 2026-11-27T00:00:00+08:00", "tomorrow": "an age such as 2h"} {
		if _, err := operator.ParseUntil(text, now, zone); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
