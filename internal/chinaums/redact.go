package chinaums

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// What jsonb is given at most. Postgres itself takes deeper nesting and longer numbers; nothing that is real comes near.
const (
	maxDepth        = 64
	maxNumberLength = 40  // characters
	maxExponent     = 300 // either side of zero
)

// replacement stands for what a Postgres text cannot hold.
const replacement = "\uFFFD"

// Redact returns what may be kept of a body, always JSON that Postgres takes as jsonb; nil for an empty body.
//
// At any depth, also inside texts that hold JSON themselves, bank card numbers are masked to at most their last four characters
// and buyer names entirely. NUL, invalid UTF-8 and lone surrogates become U+FFFD, and numbers too large for numeric become texts.
// A body that jsonb could not hold as it is (not JSON, a key given twice in one object, nesting beyond 64) is kept as one text.
func Redact(body []byte) json.RawMessage {
	if len(body) == 0 {
		return nil
	}
	r := redactor{decoder: json.NewDecoder(bytes.NewReader(body))}
	r.decoder.UseNumber()
	if json.Valid(body) && r.value(0) {
		return r.out.Bytes()
	}
	return jsonText(clean(string(body)))
}

// redactor copies one valid JSON document, token by token. Its methods report false where jsonb would refuse or lose something.
type redactor struct {
	decoder *json.Decoder
	out     bytes.Buffer
}

func (r *redactor) value(depth int) bool {
	token, err := r.decoder.Token()
	if err != nil {
		return false
	}
	switch t := token.(type) {
	case json.Delim:
		return depth < maxDepth && r.composite(t, depth+1)
	case string:
		r.out.Write(jsonText(clean(t)))
	case json.Number:
		r.out.Write(number(t.String()))
	case bool:
		r.out.WriteString(strconv.FormatBool(t))
	default:
		r.out.WriteString("null")
	}
	return true
}

func (r *redactor) composite(open json.Delim, depth int) bool {
	element, closing := r.element, "]"
	if open == '{' {
		element, closing = r.member(), "}"
	}
	r.out.WriteString(open.String())
	for first := true; r.decoder.More(); first = false {
		if !first {
			r.out.WriteByte(',')
		}
		if !element(depth) {
			return false
		}
	}
	r.out.WriteString(closing)
	_, err := r.decoder.Token()
	return err == nil
}

func (r *redactor) element(depth int) bool { return r.value(depth) }

// member returns a function that copies the next member of one object, and refuses a key that came before. Keys are compared as
// they are written out, since that is how Postgres sees them.
func (r *redactor) member() func(depth int) bool {
	seen := map[string]bool{}
	return func(depth int) bool {
		token, err := r.decoder.Token()
		name, isText := token.(string)
		key := clean(name)
		if err != nil || !isText || seen[key] {
			return false
		}
		seen[key] = true
		r.out.Write(jsonText(key))
		r.out.WriteByte(':')
		if secret := secretIn(name); secret != "" {
			return r.masked(secret)
		}
		return r.value(depth)
	}
}

// masked writes the mask of a secret in the place of its value, whatever form that has.
func (r *redactor) masked(secret string) bool {
	var value any
	if err := r.decoder.Decode(&value); err != nil {
		return false
	}
	text, _ := value.(string)
	r.out.Write(jsonText(mask(secret, clean(text))))
	return true
}

// number keeps a number as it is written, as a text where it is too long or too large for numeric.
func number(s string) []byte {
	_, exponent, _ := splitExponent(s)
	if len(s) > maxNumberLength || exponent < -maxExponent || exponent > maxExponent {
		return jsonText(s)
	}
	return []byte(s)
}

// clean returns a text that Postgres can hold and that shows no secret, not even inside JSON that the text itself holds.
func clean(s string) string {
	s = strings.ToValidUTF8(s, replacement)
	s = strings.ReplaceAll(s, "\x00", replacement)
	s = strings.ReplaceAll(s, `\u0000`, replacement) // the NUL of JSON inside the text
	return maskText(s)
}

func jsonText(s string) []byte {
	b, _ := compactJSON(s) // a string always marshals
	return b
}
