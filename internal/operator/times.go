package operator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseAge reads an age as people write it: a duration such as 36h, or whole days such as 7d.
func ParseAge(text string) (time.Duration, error) {
	if number, found := strings.CutSuffix(text, "d"); found {
		days, err := strconv.ParseInt(number, 10, 16) // 89 years
		return time.Duration(days) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// ParseTime reads a time as people write it: RFC 3339, 2026-11-30 09:00 or a date, the latter two
// in the person's zone. A date is its beginning.
func ParseTime(text string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, nil
		}
	}
	return time.Time{}, refuseUsage(msgRefusedTime, "a time must be such as 2026-01-31T15:04:05+08:00, 2026-01-31 15:04 or 2026-01-31, not %q", text)
}

// ParseUntil reads a time to come: one of [ParseTime], or an age from now such as 2h.
func ParseUntil(text string, now time.Time, zone *time.Location) (time.Time, error) {
	at, err := ParseTime(text, zone)
	if age, ageErr := ParseAge(text); ageErr == nil {
		at, err = now.Add(age), nil
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%w; an age such as 2h or 3d will do too", err)
	case !at.After(now):
		err = refuse(fmt.Errorf("%w: %s has passed: it was %s", ErrUsage, text, at.Format(time.RFC3339)), msgRefusedPast, text)
	}
	return at, err
}
