package simulator

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// field is one member of a body. Its value is JSON text as it stands, so that a mutation can make it anything.
type field struct{ name, value string }

// fields are a body's members in order. Unlike a map they can hold a name twice.
type fields []field

func (f *fields) text(name, value string) { f.raw(name, quote(value)) }

func (f *fields) number(name string, value int64) { f.raw(name, strconv.FormatInt(value, 10)) }

func (f *fields) raw(name, value string) { *f = append(*f, field{name, value}) }

// filled adds a text unless it is empty.
func (f *fields) filled(name, value string) {
	if value != "" {
		f.text(name, value)
	}
}

// positive adds a number unless it is zero.
func (f *fields) positive(name string, value int64) {
	if value > 0 {
		f.number(name, value)
	}
}

func (f fields) index(name string) int {
	return slices.IndexFunc(f, func(m field) bool { return m.name == name })
}

// set replaces a member where it stands, or adds it.
func (f *fields) set(name, value string) {
	if i := f.index(name); i >= 0 {
		(*f)[i].value = value
		return
	}
	f.raw(name, value)
}

func (f *fields) remove(names ...string) {
	*f = slices.DeleteFunc(*f, func(m field) bool { return slices.Contains(names, m.name) })
}

// before puts another member of the same name in front of one that is there.
func (f *fields) before(name, value string) {
	if i := f.index(name); i >= 0 {
		*f = slices.Insert(*f, i, field{name, value})
	}
}

func (f fields) bytes() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(m.name) + ":" + m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quote is JSON without the escapes of <, > and &, which the gateway does not write either.
func quote(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
