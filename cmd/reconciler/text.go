package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// tell writes a line for the person at the terminal. Foreign texts in it are spelled.
func (p *process) tell(format string, args ...any) {
	fmt.Fprintln(p.stderr, "reconciler: "+visibleText(fmt.Sprintf(format, args...)))
}

// visibleText makes foreign text safe for a terminal: escape sequences, other control characters
// and marks that reorder the text come out spelled, such as \x1b and \u202e. A line break is
// spelled too, so that foreign text cannot forge a line.
func visibleText(text string) string {
	if !strings.ContainsFunc(text, isInvisible) {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		if !isInvisible(r) {
			b.WriteRune(r)
			continue
		}
		spelled := strconv.QuoteRuneToGraphic(r)
		b.WriteString(spelled[1 : len(spelled)-1])
	}
	return b.String()
}

// visibleLines is visibleText for a message of several lines of our own.
func visibleLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = visibleText(line)
	}
	return strings.Join(lines, "\n")
}

func isInvisible(r rune) bool { return !unicode.IsGraphic(r) }

// writeJSON writes one indented document.
func writeJSON(w io.Writer, document any) error {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return err
	}
	_, err := visibleJSON{w}.Write(plain.Bytes())
	return err
}

// visibleJSON escapes in JSON what visibleText spells. The document stays valid and its values stay
// what they are. A Write takes whole documents.
type visibleJSON struct{ w io.Writer }

// Write reports the length of its input, as [io.Writer] demands.
func (v visibleJSON) Write(document []byte) (int, error) {
	if !bytes.ContainsFunc(document, func(r rune) bool { return r != '\n' && isInvisible(r) }) {
		return v.w.Write(document)
	}
	var b strings.Builder
	for _, r := range string(document) {
		switch {
		case r == '\n' || !isInvisible(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	_, err := io.WriteString(v.w, b.String())
	return len(document), err
}
