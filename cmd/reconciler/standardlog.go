package main

import (
	"bytes"
	"io"
)

// standardLog takes the lines that net/http prints by itself. It leaves out the text of answers
// that a gateway sent unasked: they may hold a card number or a name.
type standardLog struct{ to io.Writer }

// Write writes one line.
func (l standardLog) Write(line []byte) (int, error) {
	before, _, found := bytes.Cut(line, []byte("Unsolicited response"))
	if !found {
		return l.to.Write(line)
	}
	_, err := l.to.Write(append(bytes.Clone(before), "a server sent an answer unasked; its connection is closed\n"...))
	return len(line), err
}
