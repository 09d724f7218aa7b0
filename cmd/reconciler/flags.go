package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"reconciler/internal/operator"
)

// givenText is a text that is not empty where it is given: the value of a shell's variable that is
// unset must not select more than was meant.
type givenText string

// UnmarshalText refuses blanks.
func (g *givenText) UnmarshalText(text []byte) error {
	if strings.TrimSpace(string(text)) == "" {
		return errors.New("must not be empty")
	}
	*g = givenText(text)
	return nil
}

// lenient is a setting whose text is read leniently: its problem is kept and reported together with
// all other problems, not alone.
type lenient[T any] struct {
	T       T
	text    string
	problem error
}

type (
	duration = lenient[time.Duration]
	integer  = lenient[int]
	decimal  = lenient[float64]
)

// UnmarshalText never fails; see [process.checkSettings].
func (v *lenient[T]) UnmarshalText(text []byte) error {
	v.text, v.problem = strings.TrimSpace(string(text)), nil
	switch target := any(&v.T).(type) {
	case *time.Duration:
		*target, v.problem = parseText(v.text, time.ParseDuration, "a duration such as 15s, 5m or 24h")
	case *int:
		*target, v.problem = parseText(v.text, strconv.Atoi, "a whole number")
	case *bool:
		*target, v.problem = parseText(v.text, parseBool, "true or false")
	case *float64:
		*target, v.problem = parseText(v.text, parseFinite, "a number")
	}
	return nil
}

// String is the text as it was given.
func (v lenient[T]) String() string { return v.text }

func (v *lenient[T]) textProblem() error { return v.problem }

// toggle is a lenient boolean. The flag alone sets it.
type toggle struct{ lenient[bool] }

// IsBool tells the flag library that a value may be missing.
func (t *toggle) IsBool() bool { return true }

// Decode takes the value behind the flag's "=" or of the environment.
func (t *toggle) Decode(ctx *kong.DecodeContext) error {
	text := "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		text = ctx.Scan.Pop().String()
	}
	return t.UnmarshalText([]byte(text))
}

// String is the value, or the text where it cannot be read.
func (t toggle) String() string {
	if t.problem != nil {
		return t.text
	}
	return strconv.FormatBool(t.T)
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "yes":
		return true, nil
	case "false", "0", "no":
		return false, nil
	}
	return false, strconv.ErrSyntax
}

func parseText[T any](text string, read func(string) (T, error), want string) (T, error) {
	v, err := read(text)
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

// settingProblem is an error about one setting. The field is its name in the package that found it.
type settingProblem interface {
	error
	Setting() (field, text string)
}

// badSetting is such an error found here. The field is the flag.
type badSetting struct{ flag, text string }

func (b badSetting) Error() string { return "--" + b.flag + " " + b.text }

// Setting returns the flag and what is wrong with its value.
func (b badSetting) Setting() (field, text string) { return b.flag, b.text }

// flagOfField names the flag that sets a field of another package's options.
func flagOfField(field string) string {
	return cmp.Or(map[string]string{
		"BaseURL": "gateway-url", "Path": "query-path", "AppID": "app-id", "Auth": "auth", "Timeout": "request-timeout",
		"Concurrency": "concurrency", "Rate": "rate", "RequestTimeout": "request-timeout", "Lease": "lease",
		"Initial": "plan-initial", "Multiplier": "plan-multiplier", "Max": "plan-max", "Jitter": "plan-jitter",
		"SlowAfter": "slow-after", "GiveUpAfter": "give-up-after", "NotFoundAfter": "not-found-after",
	}[field], field)
}

// checkSettings returns the usage error of all problems with the settings: the texts that cannot be
// read and the problems given. The value that stands in for an unreadable text is not judged.
func (p *process) checkSettings(problems ...error) error {
	var lines []string
	unreadable := make(map[string]bool)
	for _, flag := range p.flags {
		setting, ok := reflect.TypeAssert[interface{ textProblem() error }](flag.Target.Addr())
		if ok && setting.textProblem() != nil {
			unreadable[flag.Name] = true
			lines = append(lines, p.flagName(flag.Name)+" "+setting.textProblem().Error())
		}
	}
	for _, err := range leafErrors(append(problems, p.log.validate())...) {
		problem, ok := errors.AsType[settingProblem](err)
		if !ok {
			if !slices.Contains(lines, err.Error()) { // a proxy of two addresses
				lines = append(lines, err.Error())
			}
			continue
		}
		field, text := problem.Setting()
		if field == "AppKey" { // it is in a variable or in a file
			lines = append(lines, "the app key (CHINAUMS_APP_KEY, or in the file) "+text)
			continue
		}
		if name := flagOfField(field); !unreadable[name] {
			lines = append(lines, p.flagName(name)+" "+text)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s:\n  - %s", pluralOf(len(lines), "problem with the settings", "problems with the settings"), strings.Join(lines, "\n  - "))}
}

// flagName is the flag with its environment variable.
func (p *process) flagName(name string) string {
	i := slices.IndexFunc(p.flags, func(flag *kong.Flag) bool { return flag.Name == name })
	if i < 0 || len(p.flags[i].Envs) == 0 {
		return "--" + name
	}
	return "--" + name + " (" + p.flags[i].Envs[0] + ")"
}

// leafErrors takes joined errors apart.
func leafErrors(errs ...error) []error {
	var leaves []error
	for _, err := range errs {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			leaves = append(leaves, leafErrors(joined.Unwrap()...)...)
		} else if err != nil {
			leaves = append(leaves, err)
		}
	}
	return leaves
}

func pluralOf(n int, one, many string) string {
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

// UnmarshalText reads RFC 3339 or an age such as 36h or 7d.
func (m *moment) UnmarshalText(text []byte) error {
	if age, err := operator.ParseAge(string(text)); err == nil {
		if age < 0 {
			return fmt.Errorf("an age must not be negative: %s", text)
		}
		m.age = age
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("must be a time such as 2026-01-31T15:04:05+08:00 or an age such as 36h or 7d, not %q", text)
	}
	m.at = at
	return nil
}

// timeBefore resolves an age against now.
func (m *moment) timeBefore(now time.Time) *time.Time {
	switch {
	case m == nil:
		return nil
	case m.at.IsZero():
		at := now.Add(-m.age)
		return &at
	}
	return &m.at
}
