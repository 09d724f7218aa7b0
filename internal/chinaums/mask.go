package chinaums

import "strings"

// The two fields that may not be kept, in lower case. No trade needs them.
const (
	bankCardNo    = "bankcardno"
	buyerUsername = "buyerusername"
)

// mask returns what is kept of a secret's value: of a card number longer than that the last four characters, of a name nothing.
func mask(secret, value string) string {
	if secret != bankCardNo {
		return "***"
	}
	const kept = 4
	if r := []rune(value); len(r) > kept {
		return "****" + string(r[len(r)-kept:])
	}
	return "****"
}

// maskText hides the values of secrets in text of any form, also where the text was cut off inside one. When in doubt where a
// value ends it hides too much. No character of a value is kept: of one that was cut off, the last four would not be the last.
func maskText(s string) string {
	secret, start, quote := findMember(s)
	if secret == "" {
		return s // the usual text
	}
	var b strings.Builder
	for ; secret != ""; secret, start, quote = findMember(s) {
		b.WriteString(s[:start])
		b.WriteString(mask(secret, ""))
		s = s[start:]
		s = s[valueLength(s, quote):]
	}
	b.WriteString(s)
	return b.String()
}

// valueLength returns how many bytes of s belong to a value after its opening quote.
func valueLength(s, quote string) int {
	switch {
	case strings.HasSuffix(quote, `"`):
		return quotedLength(s, len(quote)-1)
	case quote != "":
		return indexOr(strings.Index(s, strings.TrimLeft(quote, `\`)), len(s))
	case strings.HasPrefix(s, "{") || strings.HasPrefix(s, "["):
		return len(s)
	}
	return indexOr(strings.IndexAny(s, ",}]&; \t\r\n"), len(s))
}

// quotedLength finds the closing quote of a value whose opening quote had that many backslashes before it. A quote inside the
// value has more of them, and an escaped backslash before the closing quote adds a multiple of twice the level.
func quotedLength(s string, backslashes int) int {
	run := 0
	for i := range len(s) {
		switch {
		case s[i] == '\\':
			run++
			continue
		case s[i] == '"' && run%(2*(backslashes+1)) == backslashes:
			return i - backslashes
		}
		run = 0
	}
	return len(s)
}

func indexOr(i, otherwise int) int {
	if i < 0 {
		return otherwise
	}
	return i
}
