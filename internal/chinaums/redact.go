package chinaums

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// What jsonb is given at most. Postgres itself takes deeper nesting and longer numbers; nothing that is real comes near.
const (
	maxDepth        = 64
	maxNumberLength = 40  // characters
	maxExponent     = 300 // either side of zero
)

// replacement stands for what a Postgres text cannot hold.
const replacement = "\uFFFD"

// separators begins U+2028 and U+2029, the only characters beyond ASCII that are written as escapes.
const separators = "\xE2\x80"

// Redact returns what may be kept of a body, always JSON that Postgres takes as jsonb; nil for an empty body.
//
// At any depth, also inside texts that hold JSON themselves, bank card numbers are masked to at most their last four characters
// and buyer names entirely. NUL, invalid UTF-8 and lone surrogates become U+FFFD, and numbers too large for numeric become texts.
// A body that jsonb could not hold as it is (not JSON, a key given twice in one object, nesting beyond 64) is kept as one text.
func Redact(body []byte) json.RawMessage {
	if len(body) == 0 {
		return nil
	}
	if json.Valid(body) {
		r := redactor{in: cursor{string(body)}, out: make([]byte, 0, len(body))}
		if r.value(0) {
			return r.out
		}
	}
	return jsonText(clean(string(body)))
}

// redactor copies one valid JSON document. Its methods report false where jsonb would refuse or lose something.
type redactor struct {
	in   cursor
	out  []byte
	keys []string // of the objects that are open, as they are written out, since that is how Postgres sees them
}

func (r *redactor) value(depth int) bool {
	switch c := r.in.next(); {
	case c == '{' || c == '[':
		return depth < maxDepth && r.composite(c == '{', depth+1)
	case c == '"':
		r.text(r.in.value())
	case c == '-' || '0' <= c && c <= '9':
		r.out = append(r.out, number(r.in.value())...)
	default:
		r.out = append(r.out, r.in.value()...)
	}
	return true
}

// composite copies an object or an array. Its brackets and commas are where they must be, and so are copied as they come.
func (r *redactor) composite(isObject bool, depth int) bool {
	before := len(r.keys)
	for r.copyByte(); ; {
		switch c := r.in.next(); {
		case c == '}' || c == ']':
			r.copyByte()
			return r.forgetKeys(before)
		case c == ',':
			r.copyByte()
		case isObject && !r.member(depth), !isObject && !r.value(depth):
			return false
		}
	}
}

func (r *redactor) copyByte() { r.out = append(r.out, r.in.take(1)...) }

// forgetKeys ends an object, or an array, which has no keys. It reports whether all were different.
func (r *redactor) forgetKeys(before int) bool {
	keys := r.keys[before:]
	r.keys = r.keys[:before]
	slices.Sort(keys)
	return len(slices.Compact(keys)) == len(keys)
}

func (r *redactor) member(depth int) bool {
	quoted := r.in.value()
	r.keys = append(r.keys, r.text(quoted))
	r.in.next()
	r.copyByte() // the colon
	if secret, _ := findName(unquote(quoted), 0); secret != "" {
		r.masked(secret)
		return true
	}
	return r.value(depth)
}

// masked writes the mask of a secret in the place of its value, whatever form that has.
func (r *redactor) masked(secret string) {
	value, text := r.in.value(), ""
	if value[0] == '"' {
		text = clean(unquote(value))
	}
	r.out = append(r.out, jsonText(mask(secret, text))...)
}

// text writes a string out and returns what it says then. Most are written as they were, which saves an encoder for each.
func (r *redactor) text(quoted string) string {
	written := quoted[1 : len(quoted)-1]
	if isPlain(written) {
		r.out = append(r.out, quoted...)
		return written
	}
	s := unquote(quoted)
	kept := clean(s)
	if s == written && kept == s && !strings.Contains(s, separators) {
		r.out = append(r.out, quoted...)
	} else {
		r.out = append(r.out, jsonText(kept)...)
	}
	return kept
}

// number keeps a number as it is written, as a text where it is too long or too large for numeric.
func number(s string) string {
	_, exponent, _ := splitExponent(s)
	if len(s) > maxNumberLength || exponent < -maxExponent || exponent > maxExponent {
		return `"` + s + `"`
	}
	return s
}

// clean returns a text that Postgres can hold and that shows no secret, not even inside JSON that the text itself holds.
func clean(s string) string {
	s = strings.ToValidUTF8(s, replacement)
	s = strings.ReplaceAll(s, "\x00", replacement)
	s = strings.ReplaceAll(s, `\u0000`, replacement) // the NUL of JSON inside the text
	return maskText(s)
}

// isPlain reports whether a text says what is written, needs no escape and cannot hold a member.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '\\' || c == ':' || c == '=' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func jsonText(s string) []byte {
	b, _ := compactJSON(s) // a string always marshals
	return b
}
