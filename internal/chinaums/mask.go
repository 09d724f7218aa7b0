package chinaums

import (
	"fmt"
	"regexp"
	"strings"
)

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

// Patterns of text that need not be valid JSON. Inside a text that holds JSON, quotes and escapes have backslashes before them,
// more with each level; letters and signs may be written as \u escapes.
var (
	secretName = regexp.MustCompile(`(?i)(` + spelled(bankCardNo) + `)|` + spelled(buyerUsername))

	// secretMember is a secret's name, the rest of its key, a colon or equals sign, and the value's opening quote if there is one.
	secretMember = regexp.MustCompile(`(?i)(?:(` + spelled(bankCardNo) + `)|` + spelled(buyerUsername) + `)` +
		`[^:=,{}\[\]]*?` + `(?:[:=]|\\+u003[ad])` + `(?:\s|\\+[nrt]|\\+u00(?:20|0[9ad]))*` + `(\\*"|\\+u0022|')?`)
)

// spelled returns a pattern for a lower-case name each of whose letters may be written in either case or as a \u escape.
func spelled(name string) string {
	var b strings.Builder
	for _, r := range name {
		fmt.Fprintf(&b, `(?:%c|\\+u00%02x|\\+u00%02x)`, r, r, r-'a'+'A')
	}
	return b.String()
}

// secretIn returns which secret a key names, as a whole or as a part of it, or "".
func secretIn(key string) string {
	switch m := secretName.FindStringSubmatchIndex(key); {
	case m == nil:
		return ""
	case m[2] >= 0:
		return bankCardNo
	}
	return buyerUsername
}

// maskText hides the values of secrets in text of any form, also where the text was cut off inside one. When in doubt where a
// value ends it hides too much. No character of a value is kept: of one that was cut off, the last four would not be the last.
func maskText(s string) string {
	if !strings.ContainsAny(s, `:=\`) {
		return s // the usual text; a member has one of these
	}
	var b strings.Builder
	for {
		m := secretMember.FindStringSubmatchIndex(s)
		if m == nil {
			b.WriteString(s)
			return b.String()
		}
		secret := buyerUsername
		if m[2] >= 0 {
			secret = bankCardNo
		}
		quote := ""
		if m[4] >= 0 {
			quote = s[m[4]:m[5]]
		}
		b.WriteString(s[:m[1]] + mask(secret, ""))
		s = s[m[1]:]
		s = s[valueLength(s, quote):]
	}
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
