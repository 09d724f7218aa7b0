package operator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Locale is the way in which a person reads: the language and the zone of the times.
type Locale struct {
	Lang string // "zh"; anything else is English
	Zone *time.Location
}

// say is a message in the person's language.
func (l Locale) say(m message, args ...any) string {
	text, chinese, _ := strings.Cut(string(m), zh)
	if l.Lang == "zh" {
		text = chinese
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// translate says a word of a list. One that the list lacks comes back as it is.
func translate[Word ~string](l Locale, list map[Word]message, word Word) string {
	if m, known := list[word]; known {
		return l.say(m)
	}
	return string(word)
}

// Stamp is a time of the person's zone, without its name: a page names the zone once.
func (l Locale) Stamp(t time.Time) string { return t.In(l.Zone).Format("2006-01-02 15:04:05") }

// localTime is the same instant, with the offset of the person's zone in JSON.
func (l Locale) localTime(t time.Time) time.Time { return t.In(l.Zone) }

func (l Locale) localOf(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.In(l.Zone))
}

// ZoneName is the zone as it is named at the head of a page.
func (l Locale) ZoneName(t time.Time) string {
	return t.In(l.Zone).Format("-07:00") + " " + l.Zone.String()
}

// Age is a duration in at most two units.
func (l Locale) Age(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	days, hours := int(d/(24*time.Hour)), int(d/time.Hour)%24
	minutes, secs := int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case days > 0:
		return l.say(msgDaysHours, days, hours)
	case hours > 0:
		return l.say(msgHoursMinutes, hours, minutes)
	case minutes > 0:
		return l.say(msgMinutesSeconds, minutes, secs)
	}
	return l.say(msgSeconds, secs)
}

// exactAge is a duration as a person set it: parts of a second are not lost.
func (l Locale) exactAge(d time.Duration) string {
	if d < time.Minute {
		return l.say(msgPartsOfSecond, d.Seconds())
	}
	return l.Age(d)
}

// clockDifference is a duration of which a thousandth of a second counts.
func (l Locale) clockDifference(d time.Duration) string {
	if d < 10*time.Second {
		return l.say(msgMilliseconds, d.Milliseconds())
	}
	return l.Age(d)
}

// Yuan is an amount of fen with two decimals, such as ¥1,290.00.
func Yuan(fen int64) string {
	sign, digits := "", strconv.FormatInt(fen, 10)
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for len(digits) < 3 {
		digits = "0" + digits
	}
	whole, rest := digits[:len(digits)-2], digits[len(digits)-2:]
	return sign + "¥" + groupThousands(whole) + "." + rest
}

// Amount reads yuan as people write them, such as 1290 or ¥1,290.50, as fen.
func Amount(text string) (int64, error) {
	clean := strings.NewReplacer(",", "", "¥", "", "￥", "", " ", "").Replace(text)
	whole, rest, _ := strings.Cut(clean, ".")
	for len(rest) < 2 {
		rest += "0"
	}
	digits := whole + rest
	fen, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || len(rest) != 2 || whole == "" || len(digits) > 15 {
		return 0, refuseUsage(msgRefusedAmount, "an amount must be such as 1290.50, not %q", text)
	}
	return int64(fen), nil
}

// CountOrders is a number of orders in words.
func (l Locale) CountOrders(n int) string {
	if n == 1 {
		return l.say(msgOneOrder)
	}
	return l.say(msgManyOrders, FormatCount(n))
}

// FormatCount is a count with separators, such as 12,345.
func FormatCount[T int | int64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		return "-" + groupThousands(rest)
	}
	return groupThousands(text)
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// groupThousands separates thousands.
func groupThousands(digits string) string {
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func yuanOf(fen *int64) string {
	if fen == nil {
		return "-"
	}
	return Yuan(*fen)
}
