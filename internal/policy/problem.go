package policy

import "fmt"

// Problem says what is wrong with one field of a [Plan], or of the options of a package that builds
// on it. The caller knows the name under which people set the field.
type Problem struct {
	Field string // as it is called in Go
	Text  string // continues a sentence that begins with the field's name
}

// Error is the sentence.
func (p Problem) Error() string { return p.Field + " " + p.Text }

// Setting returns the parts, so that a caller can put its own name for the field.
func (p Problem) Setting() (field, text string) { return p.Field, p.Text }

// Problemf formats the text of a [Problem].
func Problemf(field, format string, args ...any) error {
	return Problem{Field: field, Text: fmt.Sprintf(format, args...)}
}
