package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// value is a setting whose text is read leniently: what is wrong with it is kept
// and reported together with all other problems, not just the first.
type value[T any] struct {
	T       T
	problem error
}

type (
	duration = value[time.Duration]
	integer  = value[int]
	decimal  = value[float64]
)

// UnmarshalText never fails; see [unreadableAmong].
func (v *value[T]) UnmarshalText(text []byte) error { //nolint:unparam // encoding.TextUnmarshaler has an error
	v.problem = nil
	switch target := any(&v.T).(type) {
	case *time.Duration:
		*target, v.problem = parse(text, time.ParseDuration, "a duration such as 15s, 5m or 24h")
	case *int:
		*target, v.problem = parse(text, strconv.Atoi, "a whole number")
	case *float64:
		*target, v.problem = parse(text, parseFinite, "a number")
	}
	return nil
}

func parse[T any](text []byte, read func(string) (T, error), want string) (T, error) {
	v, err := read(strings.TrimSpace(string(text)))
	if err != nil {
		return v, fmt.Errorf("must be %s, not %q", want, text)
	}
	return v, nil
}

func parseFinite(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && (f != f || f-f != 0) { // NaN, infinity
		err = strconv.ErrRange
	}
	return f, err
}

func (v *value[T]) unreadable() error { return v.problem }

// unreadable are the settings whose text could not be read, each with its problem.
type unreadable map[string]error

func unreadableAmong(flags []*kong.Flag) unreadable {
	found := make(unreadable)
	for _, flag := range flags {
		setting, ok := reflect.TypeAssert[interface{ unreadable() error }](flag.Target.Addr())
		if !ok || setting.unreadable() == nil {
			continue
		}
		name := "--" + flag.Name
		if len(flag.Envs) > 0 {
			name += " (" + strings.Join(flag.Envs, ", ") + ")"
		}
		found[flag.Name] = fmt.Errorf("%s %w", name, setting.unreadable())
	}
	return found
}

// problems puts those of the settings that were read beside those that were not.
// What is said of the value that stands in for an unreadable one is left out.
func (u unreadable) problems(others ...error) error {
	var lines []error
	for _, name := range slices.Sorted(maps.Keys(u)) {
		lines = append(lines, u[name])
	}
	if joined := errors.Join(others...); joined != nil {
		for line := range strings.SplitSeq(joined.Error(), "\n") {
			if name, _, _ := strings.Cut(line, " "); u[name] == nil {
				lines = append(lines, errors.New(line))
			}
		}
	}
	return badSettings(lines...)
}

// badSettings puts all problems into one error, nil if there is none.
func badSettings(problems ...error) error {
	joined := errors.Join(problems...)
	if joined == nil {
		return nil
	}
	lines := strings.Split(joined.Error(), "\n")
	return fmt.Errorf("%s:\n  - %s", plural(len(lines), "problem with the settings", "problems with the settings"), strings.Join(lines, "\n  - "))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// moment is a point in time, given as such or as an age.
type moment struct {
	at  time.Time
	age time.Duration
}

// UnmarshalText reads RFC 3339 or an age such as 36h.
func (m *moment) UnmarshalText(text []byte) error {
	if age, err := time.ParseDuration(string(text)); err == nil {
		if age < 0 {
			return fmt.Errorf("an age must not be negative: %s", text)
		}
		m.age = age
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("must be a time such as 2026-01-31T15:04:05+08:00 or an age such as 36h, not %q", text)
	}
	m.at = at
	return nil
}

// before resolves an age against now.
func (m *moment) before(now time.Time) *time.Time {
	switch {
	case m == nil:
		return nil
	case m.at.IsZero():
		at := now.Add(-m.age)
		return &at
	}
	return &m.at
}
