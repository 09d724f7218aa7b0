package main

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/operator"
)

// peopleSettings are those of the commands for people.
type peopleSettings struct {
	TZ    string `name:"tz" env:"RECONCILER_TZ" default:"Asia/Shanghai" help:"Zone of the times that are shown, such as Asia/Shanghai or UTC."`
	Lang  string `name:"lang" env:"RECONCILER_LANG" placeholder:"LANG" help:"Language of the text output: en or zh. Without: from LC_ALL, LC_MESSAGES or LANG."`
	Actor string `name:"actor" env:"RECONCILER_ACTOR" placeholder:"NAME" help:"Who acts, for the record. Without: user@host."`
}

// timeZone is the zone in which times are shown.
func (s peopleSettings) timeZone() (*time.Location, error) {
	zone, err := time.LoadLocation(s.TZ)
	if err != nil || s.TZ == "" || s.TZ == "Local" { // which Postgres does not know
		return nil, badSetting{"tz", fmt.Sprintf("must be a zone such as Asia/Shanghai or UTC, not %q", s.TZ)}
	}
	return zone, nil
}

// language is "en" or "zh". Without the setting the locale decides.
func (s peopleSettings) language(getenv func(string) string) (string, error) {
	switch {
	case s.Lang == "en" || s.Lang == "zh":
		return s.Lang, nil
	case s.Lang != "":
		return "", badSetting{"lang", fmt.Sprintf("must be en or zh, not %q", s.Lang)}
	}
	locale := cmp.Or(getenv("LC_ALL"), getenv("LC_MESSAGES"), getenv("LANG"))
	if end := strings.IndexAny(locale+"_", "_.@-"); locale[:end] == "zh" {
		return "zh", nil
	}
	return "en", nil
}

// locale is the person's way to read. The defaults stand in for what cannot be used.
func (s peopleSettings) locale(getenv func(string) string) operator.Locale {
	l := operator.Locale{Lang: "en", Zone: chinaums.China()}
	if zone, err := s.timeZone(); err == nil {
		l.Zone = zone
	}
	if lang, err := s.language(getenv); err == nil {
		l.Lang = lang
	}
	return l
}

// actorName is who acts, for the record of actions: behind sudo the person, not root.
func (s peopleSettings) actorName(getenv func(string) string) string {
	if s.Actor != "" {
		return s.Actor
	}
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if person := getenv("SUDO_USER"); name == "root" && person != "" {
		name = person
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}
