package chinaums

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// What jsonb is given at most. Postgres itself takes deeper nesting and longer numbers; nothing
// that is real comes near.
const (
	maxDepth        = 64
	maxNumberLength = 40  // characters
	maxExponent     = 300 // either side of zero
)

// replacement stands for what a Postgres text cannot hold.
const replacement = "\uFFFD"

// separators begins U+2028 and U+2029, the only characters beyond ASCII that are written as
// escapes.
const separators = "\xE2\x80"

// readBody walks over a body once. It lists the members of the one object that the body is, with an
// error where it is anything else. It also returns what may be kept of the body, always JSON that
// Postgres takes as jsonb; nil for an empty body.
//
// In what is kept and in the members, the value of a secret name is masked at any depth. A text
// that scan finds is withheld whole. NUL, invalid UTF-8 and lone surrogates become U+FFFD, and
// numbers too large for numeric become texts. One text is kept of a body that jsonb could not hold:
// no JSON, a key given twice in one object, nesting beyond 64.
func readBody(body []byte, scan *secretScan) (object, json.RawMessage, error) {
	if len(body) == 0 {
		return nil, nil, errNotObject
	}
	body = withoutMark(body)
	text := string(body)
	if !json.Valid(body) {
		return nil, jsonText(cleanText(scan.hideText(text))), errNotObject
	}
	r := redactor{
		in: cursor{text}, scan: scan, out: make([]byte, 0, len(body)), keys: make([]string, 0, usualMembers),
	}
	isObject := r.in.nextByte() == '{'
	r.copyValue(0)
	if r.unfit {
		r.out = jsonText(cleanText(scan.hideText(text)))
	}
	if !isObject {
		return nil, r.out, errNotObject
	}
	return r.members, r.out, nil
}

// redactor copies one valid JSON document.
type redactor struct {
	in      cursor
	scan    *secretScan
	out     []byte
	keys    []string // of the objects that are open, as they are written out, since that is how Postgres sees them
	members object   // of the document itself
	unfit   bool     // jsonb would refuse or lose a part of the document
}

// copyValue copies a value, and reports whether it was a text that was withheld.
func (r *redactor) copyValue(depth int) (hidden bool) {
	switch c := r.in.nextByte(); {
	case (c == '{' || c == '[') && depth < maxDepth:
		r.copyComposite(c == '{', depth+1)
	case c == '{' || c == '[':
		r.in.takeValue()
		r.unfit = true
	case c == '"':
		_, hidden = r.copyText(r.in.takeValue())
	case c == '-' || '0' <= c && c <= '9':
		r.out = append(r.out, keepNumber(r.in.takeValue())...)
	default:
		r.out = append(r.out, r.in.takeValue()...)
	}
	return hidden
}

// copyComposite copies an object or an array. Its brackets and commas are where they must be, and
// so are copied as they come.
func (r *redactor) copyComposite(isObject bool, depth int) {
	before := len(r.keys)
	for r.copyByte(); ; {
		switch c := r.in.nextByte(); {
		case c == '}' || c == ']':
			r.copyByte()
			r.forgetKeys(before)
			return
		case c == ',':
			r.copyByte()
		case isObject:
			r.copyMember(depth)
		default:
			r.copyValue(depth)
		}
	}
}

func (r *redactor) copyByte() { r.out = append(r.out, r.in.takeBytes(1)...) }

// forgetKeys ends an object, or an array, which has no keys. A key given twice is one that jsonb
// would lose.
func (r *redactor) forgetKeys(before int) {
	keys := r.keys[before:]
	r.keys = r.keys[:before]
	slices.Sort(keys)
	if len(slices.Compact(keys)) < len(keys) {
		r.unfit = true
	}
}

func (r *redactor) copyMember(depth int) {
	key, secret := r.copyKey()
	r.in.nextByte()
	r.copyByte() // the colon
	r.in.nextByte()
	from, start, hidden := r.in.rest, len(r.out), false
	if secret {
		r.in.takeValue()
		r.out = append(r.out, `"***"`...)
	} else {
		hidden = r.copyValue(depth)
	}
	if depth > 1 {
		return
	}
	value := from[:len(from)-len(r.in.rest)]
	if hidden {
		value = string(r.out[start:]) // the fields of a Trade get what is kept, not what came
	}
	r.members.addMember(key, value)
}

// copyKey copies a key, and reports whether its value is secret. Of the keys that mention a secret
// name, only those that are one are kept.
func (r *redactor) copyKey() (said string, secret bool) {
	quoted := r.in.takeValue()
	said = unquoteText(quoted)
	kept := said
	if secret = isSecretName(said); secret {
		r.out = append(r.out, jsonText(said)...)
	} else {
		kept, secret = r.copyText(quoted)
	}
	r.keys = append(r.keys, kept)
	return said, secret
}

// copyText writes a string out, as it was where that is possible, which saves an encoder for each.
// It returns what is written, and whether the string was withheld.
func (r *redactor) copyText(quoted string) (kept string, hidden bool) {
	inside := quoted[1 : len(quoted)-1]
	if isPlain(inside) && !r.scan.holdsSecret(inside) {
		r.out = append(r.out, quoted...)
		return inside, false
	}
	said := unquoteText(quoted)
	if hidden = r.scan.leaksSecret(said); hidden {
		kept = withheldText(said)
	} else {
		kept = cleanText(said)
	}
	if said == inside && kept == said && !strings.Contains(said, separators) {
		r.out = append(r.out, quoted...)
	} else {
		r.out = append(r.out, jsonText(kept)...)
	}
	return kept, hidden
}

// keepNumber keeps a number as it is written, as a text where it is too long or too large for
// numeric.
func keepNumber(s string) string {
	_, exponent, _ := splitExponent(s)
	if len(s) > maxNumberLength || exponent < -maxExponent || exponent > maxExponent {
		return `"` + s + `"`
	}
	return s
}

// cleanText returns a text that Postgres can hold.
func cleanText(s string) string {
	s = strings.ToValidUTF8(s, replacement)
	s = strings.ReplaceAll(s, "\x00", replacement)
	return strings.ReplaceAll(s, `\u0000`, replacement) // the NUL of JSON inside the text
}

// isPlain reports whether a text is written as it is, without any escape and beyond ASCII nothing.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '\\' || c == '&' || c == '%' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func jsonText(s string) []byte {
	b, _ := compactJSON(s) // a string always marshals
	return b
}
