package chinaums

import "strings"

// Finding secrets in text that need not be valid JSON. Inside a text that holds JSON, quotes and escapes have backslashes before
// them, more with each level; letters and signs may be written as \u escapes. All is found by hand, in time linear in the text:
// as regular expressions the same rules take a microsecond for each byte of a text that is made to be slow.

// findMember finds the first member whose key holds a secret's name: the name, the rest of its key, a colon or equals sign, and
// the value's opening quote if there is one. It returns which secret, "" for none, where the value starts, and that quote.
func findMember(s string) (secret string, start int, quote string) {
	for i := 0; ; {
		secret, i = findName(s, i)
		if secret == "" {
			return "", 0, ""
		}
		var found bool
		if i, found = endOfKey(s, i); found {
			i = skipSpace(s, i)
			quote = openingQuote(s, i)
			return secret, i + len(quote), quote
		}
	}
}

// findName finds the first secret's name at or after i, and where it ends.
func findName(s string, i int) (secret string, end int) {
	for i < len(s) {
		if c := s[i]; c != 'b' && c != 'B' && c != '\\' {
			i++ // neither a first letter nor an escape of one
			continue
		}
		for _, secret := range [...]string{bankCardNo, buyerUsername} {
			if end, ok := matchName(s, i, secret); ok {
				return secret, end
			}
		}
		i = max(i+1, skipBackslashes(s, i))
	}
	return "", i
}

func matchName(s string, i int, name string) (end int, ok bool) {
	for n := range len(name) {
		c, end := signAt(s, i)
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != rune(name[n]) {
			return 0, false
		}
		i = end
	}
	return i, true
}

// endOfKey finds the end of the separator behind a name that ends at i. Where something else ends the key before, it returns
// that place: no name before it can have a separator either.
func endOfKey(s string, i int) (end int, found bool) {
	for i < len(s) {
		c, end := signAt(s, i)
		switch {
		case c == ':' || c == '=':
			return end, true
		case strings.IndexByte(",{}[]", s[i]) >= 0:
			return i, false
		}
		i = end
	}
	return i, false
}

// skipSpace returns where white space that begins at i, if any does, ends.
func skipSpace(s string, i int) int {
	for i < len(s) {
		c, end := signAt(s, i)
		switch {
		case c == backslashes && end < len(s) && strings.IndexByte("nrtNRT", s[end]) >= 0:
			end++
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || s[i] == '\f':
		default:
			return i
		}
		i = end
	}
	return i
}

// openingQuote returns the quote at i with all that is before it of an escape, or "".
func openingQuote(s string, i int) string {
	if i == len(s) {
		return ""
	}
	c, end := signAt(s, i)
	switch {
	case c == '"', s[i] == '\'':
		return s[i:end]
	case c == backslashes && strings.HasPrefix(s[end:], `"`):
		return s[i : end+1]
	}
	return ""
}

// backslashes is what signAt returns for some that are not part of a \u escape, and for none at the end of the text.
const backslashes = -1

// signAt returns the sign at i, be it as it is or as a \u escape of any level, and where it ends. Only those below U+0100 matter,
// and the two that are letters of a name in an unusual case.
func signAt(s string, i int) (sign rune, end int) {
	const kelvin, longS = "\u212A", "\u017F"
	switch {
	case i == len(s):
		return backslashes, i
	case s[i] == '\\':
		return escapeAt(s, skipBackslashes(s, i))
	case strings.HasPrefix(s[i:], kelvin):
		return 'k', i + len(kelvin)
	case strings.HasPrefix(s[i:], longS):
		return 's', i + len(longS)
	}
	return rune(s[i]), i + 1
}

// escapeAt reads the rest, u00 and two digits, of an escape whose backslashes end at i.
func escapeAt(s string, i int) (sign rune, end int) {
	const length = len("u0000")
	if i+length > len(s) || s[i]|0x20 != 'u' || s[i+1:i+3] != "00" {
		return backslashes, i
	}
	high, low := digit(s[i+3]), digit(s[i+4])
	if high < 0 || low < 0 {
		return backslashes, i
	}
	return high<<4 | low, i + length
}

// digit returns the value of a hexadecimal digit, or -1.
func digit(c byte) rune {
	if 'A' <= c && c <= 'F' {
		c += 'a' - 'A'
	}
	return rune(strings.IndexByte("0123456789abcdef", c))
}

func skipBackslashes(s string, i int) int {
	for i < len(s) && s[i] == '\\' {
		i++
	}
	return i
}
