package chinaums

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// cursor walks through a text that json.Valid has accepted. So nothing that it meets can be wrong,
// and nothing is checked again: json.Decoder would take ten times as long.
type cursor struct{ rest string }

// nextByte skips white space and returns the byte behind it, which it leaves.
func (c *cursor) nextByte() byte {
	for c.rest[0] == ' ' || c.rest[0] == '\t' || c.rest[0] == '\r' || c.rest[0] == '\n' {
		c.rest = c.rest[1:]
	}
	return c.rest[0]
}

func (c *cursor) takeBytes(length int) string {
	taken := c.rest[:length]
	c.rest = c.rest[length:]
	return taken
}

// takeValue takes the next value as it is written.
func (c *cursor) takeValue() string {
	switch c.nextByte() {
	case '"':
		return c.takeBytes(stringLength(c.rest))
	case '{', '[':
		return c.takeBytes(compositeLength(c.rest))
	}
	return c.takeBytes(scalarLength(c.rest))
}

func stringLength(s string) int {
	i := 1
	for s[i] != '"' {
		if s[i] == '\\' {
			i++
		}
		i++
	}
	return i + 1
}

func compositeLength(s string) int {
	depth, i := 0, 0
	for {
		switch s[i] {
		case '"':
			i += stringLength(s[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
}

// scalarLength is for numbers, true, false and null.
func scalarLength(s string) int {
	for i := range len(s) {
		switch s[i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return len(s)
}

// unquoteText returns what a JSON string says, without a copy where it is written as it is.
func unquoteText(quoted string) string {
	s := quoted[1 : len(quoted)-1]
	if strings.IndexByte(s, '\\') < 0 && utf8.ValidString(s) {
		return s
	}
	var said string // not s, which the address would put on the heap for every string
	_ = json.Unmarshal([]byte(quoted), &said)
	return said
}
