package simulator

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// field is one member of a body. Its value is JSON text as it stands, so that a mutation can make
// it anything.
type field struct{ name, value string }

// fields are a body's members in order. Unlike a map they can hold a name twice.
type fields []field

func (f *fields) addText(name, value string) { f.addRaw(name, quoteJSON(value)) }

func (f *fields) addNumber(name string, value int64) { f.addRaw(name, strconv.FormatInt(value, 10)) }

func (f *fields) addRaw(name, value string) { *f = append(*f, field{name, value}) }

// addFilled adds a text unless it is empty.
func (f *fields) addFilled(name, value string) {
	if value != "" {
		f.addText(name, value)
	}
}

// addPositive adds a number unless it is zero.
func (f *fields) addPositive(name string, value int64) {
	if value > 0 {
		f.addNumber(name, value)
	}
}

func (f fields) indexOf(name string) int {
	return slices.IndexFunc(f, func(m field) bool { return m.name == name })
}

// setValue replaces a member where it stands, or adds it.
func (f *fields) setValue(name, value string) {
	if i := f.indexOf(name); i >= 0 {
		(*f)[i].value = value
		return
	}
	f.addRaw(name, value)
}

func (f *fields) removeAll(names ...string) {
	*f = slices.DeleteFunc(*f, func(m field) bool { return slices.Contains(names, m.name) })
}

// insertBefore puts another member of the same name in front of one that is there.
func (f *fields) insertBefore(name, value string) {
	if i := f.indexOf(name); i >= 0 {
		*f = slices.Insert(*f, i, field{name, value})
	}
}

func (f fields) toJSON() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoteJSON(m.name) + ":" + m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quoteJSON is JSON without the escapes of <, > and &, which the gateway does not write either.
func quoteJSON(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
