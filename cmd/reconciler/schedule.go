package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

type scheduleSetting struct {
	Text string `name:"schedule" env:"RECONCILER_SCHEDULE" default:"@every 5s" help:"When to look for due orders: cron with optional seconds, or @every. The first pass runs at once."`
}

// parse reads a cron expression of five fields, or six with seconds in front, or a descriptor such
// as @hourly or "@every 5s". A time zone may stand in front: "CRON_TZ=Asia/Shanghai 0 9 * * *".
func (s scheduleSetting) parse() (schedule cron.Schedule, err error) {
	refuse := func(format string, args ...any) error {
		return badSetting{"schedule", fmt.Sprintf("%q ", s.Text) + fmt.Sprintf(format, args...)}
	}
	defer func() {
		if recover() != nil { // the parser panics on a time zone without fields
			schedule, err = nil, refuse("cannot be read")
		}
	}()
	descriptor := s.Text
	if zone, rest, found := strings.Cut(s.Text, " "); found && strings.Contains(zone, "TZ=") {
		if strings.HasSuffix(zone, "=") { // the parser would take it for UTC
			return nil, refuse("has an empty time zone: write for example %sAsia/Shanghai", zone)
		}
		descriptor = strings.TrimSpace(rest)
	}
	if every, found := strings.CutPrefix(descriptor, "@every "); found {
		d, err := time.ParseDuration(every)
		if err == nil && (d < time.Second || d%time.Second != 0) {
			return nil, refuse("has a bad interval: it must be in whole seconds, at least 1s")
		}
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	schedule, err = parser.Parse(s.Text)
	if err != nil {
		return nil, refuse("cannot be read: %v (five cron fields, six with seconds, or \"@every 5s\")", err)
	}
	if schedule.Next(time.Now()).IsZero() {
		return nil, refuse("never fires")
	}
	return schedule, nil
}
