package chinaums

import (
	"errors"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
)

// secretNames are the keys whose values are never kept, in lower case and with at least four
// letters. A new secret is one more word here.
func secretNames() []string { return []string{"bankcardno", "buyerusername"} }

const (
	minPart    = 8 // characters in a row of a header's value that give it away
	gramLength = 4 // bytes of the samples that a scan takes of a text
	maxLevels  = 8 // of escapes within escapes; no honest text has more
)

// secretScan finds texts that must not be kept: those that mention a secret name, hold a secret, or
// hold a part of a value of the Authorization header. A scan looks at every stride-th place of a
// text only: each thing that it looks for is so long that one of these places falls inside it. A
// hit there is a hint; holdsAt looks closely.
type secretScan struct {
	names  []string
	whole  []string // withheld if repeated whole
	parts  []string // withheld if minPart characters are repeated
	stride int
	grams  [64]uint64 // a bit for each hash of four bytes, in lower case, of all the above
}

func newSecretScan(whole ...string) *secretScan {
	s := &secretScan{names: secretNames(), stride: minPart - gramLength + 1}
	for _, name := range s.names {
		s.lookFor(name)
	}
	return s.withSecrets(whole, nil)
}

// withSecrets returns a scan that looks for more. Secrets of fewer than four bytes are none.
func (s *secretScan) withSecrets(whole, parts []string) *secretScan {
	more := *s
	more.whole, more.parts = joinLists(s.whole, whole), joinLists(s.parts, parts)
	for _, secret := range whole {
		more.lookFor(secret)
	}
	for _, part := range parts {
		if len(part) >= minPart {
			more.lookFor(part)
		}
	}
	return &more
}

// joinLists joins two lists that nobody changes. Usually one is empty.
func joinLists(a, b []string) []string {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return slices.Concat(a, b)
}

// lookFor adds the grams of a word.
func (s *secretScan) lookFor(word string) {
	if len(word) < gramLength {
		return
	}
	s.stride = min(s.stride, len(word)-gramLength+1)
	for i := range len(word) - gramLength + 1 {
		slot := gramSlot(word, i)
		s.grams[slot/64] |= 1 << (slot % 64)
	}
}

func gramSlot(s string, i int) uint32 {
	gram := uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
	return (gram | 0x20202020) * 2654435761 >> 20
}

// isName tells whether a key is a secret name, in any case.
func (s *secretScan) isName(key string) bool {
	return slices.ContainsFunc(s.names, func(name string) bool { return len(key) == len(name) && strings.EqualFold(key, name) })
}

// leaksSecret tells whether a text has to be withheld, whatever escapes it hides behind.
func (s *secretScan) leaksSecret(text string) bool {
	for range maxLevels {
		if s.holdsSecret(text) {
			return true
		}
		bare := unescapeOnce(text)
		if bare == text {
			return false
		}
		text = bare
	}
	return true
}

// holdsSecret is leaks for a text without escapes.
func (s *secretScan) holdsSecret(text string) bool {
	for i := 0; i+gramLength <= len(text); i += s.stride {
		if slot := gramSlot(text, i); s.grams[slot/64]&(1<<(slot%64)) != 0 && s.holdsAt(text, i) {
			return true
		}
	}
	return false
}

func (s *secretScan) holdsAt(text string, i int) bool {
	gram := text[i : i+gramLength]
	for _, name := range s.names {
		if mentionsName(text, name, i) {
			return true
		}
	}
	for _, secret := range s.whole {
		if strings.Contains(secret, gram) && strings.Contains(text, secret) {
			return true
		}
	}
	for _, part := range s.parts {
		if strings.Contains(part, gram) && sharesPart(text, part, i) {
			return true
		}
	}
	return false
}

// mentionsName tells whether a name, in any case, stands around place i.
func mentionsName(text, name string, i int) bool {
	for from := max(0, i+gramLength-len(name)); from <= i && from+len(name) <= len(text); from++ {
		if strings.EqualFold(text[from:from+len(name)], name) {
			return true
		}
	}
	return false
}

// sharesPart tells whether minPart characters around a gram stand in part too.
func sharesPart(text, part string, i int) bool {
	for from := max(0, i+gramLength-minPart); from <= i && from+minPart <= len(text); from++ {
		if strings.Contains(part, text[from:from+minPart]) {
			return true
		}
	}
	return false
}

// headerValues lists the values of an Authorization header that nobody else may see. App id and
// time are public: order numbers begin with a date.
func headerValues(header, appID, timestamp string) []string {
	values := make([]string, 0, 4)
	quoted := false
	for text := range strings.SplitSeq(header, `"`) {
		if quoted && text != appID && text != timestamp {
			values = append(values, text)
		}
		quoted = !quoted
	}
	return values
}

// hideText returns the text, or that it was withheld.
func (s *secretScan) hideText(text string) string {
	if s.leaksSecret(text) {
		return withheldText(text)
	}
	return text
}

// hideError withholds what an error repeats of a broken answer, such as a line of its header.
func (s *secretScan) hideError(err error) error {
	if err == nil || !s.leaksSecret(err.Error()) {
		return err
	}
	return errors.New(withheldText(err.Error()))
}

func withheldText(text string) string { return fmt.Sprintf("[withheld: %d bytes]", len(text)) }

// unescapeOnce undoes one level of the escapes of JSON, HTML and URLs, and writes the two letters
// plainly that only look unlike k and s.
func unescapeOnce(s string) string {
	const kelvin, longS = "\u212A", "\u017F"
	if strings.Contains(s, kelvin) || strings.Contains(s, longS) {
		s = strings.NewReplacer(kelvin, "k", longS, "s").Replace(s)
	}
	if strings.IndexByte(s, '&') >= 0 {
		s = html.UnescapeString(s)
	}
	if strings.IndexByte(s, '\\') < 0 && strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		char, length := charAt(s[i:])
		b = append(b, char...)
		i += length
	}
	return string(b)
}

// charAt returns the character that s begins with, and the length of its escape. Backslashes that
// begin no number stand for nothing.
func charAt(s string) (char string, length int) {
	slashes := len(s) - len(strings.TrimLeft(s, `\`))
	intro, digits := slashes, 0
	switch {
	case slashes == 0 && s[0] == '%':
		intro, digits = 1, 2
	case slashes == 0:
		return s[:1], 1
	case strings.HasPrefix(s[slashes:], "u"):
		intro, digits = slashes+1, 4
	case strings.HasPrefix(s[slashes:], "x"):
		intro, digits = slashes+1, 2
	}
	if end := intro + digits; digits > 0 && end <= len(s) {
		if code, err := strconv.ParseUint(s[intro:end], 16, 32); err == nil {
			return string(rune(code)), end
		}
	}
	return "", max(slashes, 1)
}
