package chinaums

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
)

// secretNames are the keys whose values are never kept, in lower case and with at least four
// letters. A new secret is one more word here.
func secretNames() []string { return []string{"bankcardno", "buyerusername"} }

// isSecretName tells whether a key is a secret name, in any case.
func isSecretName(key string) bool {
	return slices.ContainsFunc(secretNames(), func(name string) bool { return strings.EqualFold(key, name) })
}

const (
	minPart    = 8 // characters in a row of a secret that give it away
	gramLength = 4 // bytes of the samples that mayHold takes of a text
	maxLevels  = 8 // of escapes within escapes; no honest text has more
)

// secretScan finds texts that must not be kept: those that mention a secret name, or hold a part of
// a secret.
type secretScan struct {
	needles []needle
	escapes *regexp.Regexp // of JSON, JavaScript and URLs
	stride  int
	grams   [64]uint64 // a bit for each hash of four bytes of the needles
}

// needle is found in a text that has so many bytes in a row of it, in any case.
type needle struct {
	text  string // in lower case
	bytes int
}

// newSecretScan returns a scan that finds the secret names, and secrets that are repeated whole.
func newSecretScan(secrets ...string) *secretScan {
	s := &secretScan{
		escapes: regexp.MustCompile(`\\u([[:xdigit:]]{4})|\\x([[:xdigit:]]{2})|%([[:xdigit:]]{2})`),
		stride:  minPart - gramLength + 1,
	}
	for _, text := range slices.Concat(secretNames(), secrets) {
		s.lookFor(text, len(text))
	}
	return s
}

// withParts returns a scan that also finds parts of secrets.
func (s *secretScan) withParts(secrets ...string) *secretScan {
	more := *s
	more.needles = slices.Clip(s.needles)
	for _, text := range secrets {
		more.lookFor(text, min(minPart, len(text)))
	}
	return &more
}

// lookFor adds a needle. One of fewer than four bytes is none. Of the samples in each run of so many
// bytes, the last ones are enough: mayHold meets one of them. So the beginnings of secret names,
// which the names of other fields share, do not make it look closer.
func (s *secretScan) lookFor(text string, bytes int) {
	if len(text) < gramLength {
		return
	}
	s.needles = append(s.needles, needle{strings.ToLower(text), bytes})
	s.stride = min(s.stride, bytes-gramLength+1)
	for i := bytes - gramLength + 1 - s.stride; i+gramLength <= len(text); i++ {
		slot := gramSlot(text, i)
		s.grams[slot/64] |= 1 << (slot % 64)
	}
}

// gramSlot hashes four bytes, in lower case.
func gramSlot(s string, i int) uint32 {
	gram := uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
	return (gram | 0x20202020) * 2654435761 >> 20
}

// leaksSecret tells whether a text has to be withheld, whatever escapes it hides behind.
func (s *secretScan) leaksSecret(text string) bool {
	for range maxLevels {
		if s.holdsSecret(text) {
			return true
		}
		bare := s.unescapeOnce(text)
		if bare == text {
			return false
		}
		text = bare
	}
	return true
}

// holdsSecret is leaksSecret for a text without escapes.
func (s *secretScan) holdsSecret(text string) bool {
	if !s.mayHold(text) {
		return false
	}
	text = strings.ToLower(text)
	return slices.ContainsFunc(s.needles, func(n needle) bool { return n.isIn(text) })
}

func (n needle) isIn(text string) bool {
	for i := range len(text) - n.bytes + 1 {
		if strings.Contains(n.text, text[i:i+n.bytes]) {
			return true
		}
	}
	return false
}

// mayHold is quick, and false for nearly all texts that hold no needle. It looks at every stride-th
// place of a text only: needles are so long that one of these places falls inside each.
func (s *secretScan) mayHold(text string) bool {
	for i := 0; i+gramLength <= len(text); i += s.stride {
		if slot := gramSlot(text, i); s.grams[slot/64]&(1<<(slot%64)) != 0 {
			return true
		}
	}
	return false
}

// unescapeOnce undoes one level of the escapes of JSON, HTML and URLs, and writes the two letters
// plainly that only look unlike k and s. Backslashes that begin no number stand for nothing.
func (s *secretScan) unescapeOnce(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\u212A", "k"), "\u017F", "s")
	if strings.ContainsAny(text, `\%`) {
		text = s.escapes.ReplaceAllString(text, "&#x$1$2$3;")
		text = strings.ReplaceAll(text, `\`, "")
	}
	return html.UnescapeString(text)
}

// headerSecrets lists the values of an Authorization header that nobody else may see. App id and
// time are public: order numbers begin with a date.
func headerSecrets(header, appID, timestamp string) []string {
	var values []string
	for i, text := range strings.Split(header, `"`) {
		if isQuoted := i%2 == 1; isQuoted && text != appID && text != timestamp {
			values = append(values, text)
		}
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
