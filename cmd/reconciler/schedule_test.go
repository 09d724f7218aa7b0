package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseSchedule(t *testing.T) {
	t.Parallel()
	at := func(hour, minute, second int) time.Time {
		return time.Date(2026, 6, 1, hour, minute, second, 0, time.UTC)
	}
	from := at(12, 0, 0)
	for _, tt := range []struct {
		text string
		want time.Time // the next one after noon
	}{
		{"@every 5s", at(12, 0, 5)},
		{"@every 1m30s", at(12, 1, 30)},
		{"@every 1h", at(13, 0, 0)},
		{"@hourly", at(13, 0, 0)},
		{"TZ=UTC 30 * * * *", at(12, 30, 0)},
		{"CRON_TZ=UTC 15 30 * * * *", at(12, 30, 15)},
		{"TZ=UTC */5 * * * * *", at(12, 0, 5)},
		{"TZ=UTC 0 12 * * *", at(12, 0, 0).AddDate(0, 0, 1)},
		{"CRON_TZ=Asia/Shanghai 0 21 * * *", at(13, 0, 0)}, // eight hours ahead
		{"TZ=UTC 0 0 29 2 *", time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)},
	} {
		schedule, err := scheduleSetting{tt.text}.parse()
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if got := schedule.Next(from); !got.Equal(tt.want) {
			t.Errorf("%q: next is %s, want %s", tt.text, got, tt.want)
		}
	}
}

// Each of these the cron library panics on, rounds, or takes for never.
func TestParseScheduleRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "5s", "1500ms", "hourly", "@often", "@reboot", "@every", "@every ", "@every 5", "@every five",
		"* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "*/0 * * * *", "5-1 * * * *", "a b c d e",
		"TZ=0", "TZ=", "TZ=UTC", "CRON_TZ=Europe/Berlin", "CRON_TZ=", "TZ=Nowhere/Else * * * * *", "TZ=UTC ",
		"@every 500ms", "@every 0s", "@every 0", "@every -5s", "@every 1500ms", "@every 1s500ms", "@every 999999999h",
		"0 0 31 2 *", "0 0 0 30 2 *", "0 0 31 4,6,9,11 *",
		// A zone in front of an interval has no meaning, and must not hide it.
		"CRON_TZ= 0 9 * * *", "TZ= */5 * * * * *", // an empty zone
		"TZ=UTC @every 500ms", "CRON_TZ=UTC @every -5s", "TZ=UTC @every 1500ms",
	} {
		schedule, err := scheduleSetting{text}.parse()
		if err == nil {
			t.Errorf("%q is taken; its next is %s from now", text, time.Until(schedule.Next(time.Now())))
			continue
		}
		if schedule != nil || !strings.Contains(err.Error(), "schedule") {
			t.Errorf("%q: %v, %v; want no schedule and an error that says what it is about", text, schedule, err)
		}
	}
}
