package main

import (
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"

	"reconciler/internal/operator"
)

// printResult writes a result on stdout, as JSON or as its page.
func (p *process) printResult(form string, result any, page operator.Page) error {
	if form == "json" {
		return writeJSON(p.stdout, result)
	}
	return printPage(p.stdout, page, p.usesColour())
}

// printPage writes a page with its tables aligned. Foreign text is made visible first.
func printPage(w io.Writer, page operator.Page, coloured bool) error {
	var b strings.Builder
	for begin := 0; begin < len(page.Rows); {
		end := begin + 1
		for len(page.Rows[begin]) > 1 && end < len(page.Rows) && len(page.Rows[end]) > 1 {
			end++
		}
		printTable(&b, page.Rows[begin:end], coloured)
		begin = end
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printTable aligns the columns of rows by the width of their texts on a terminal. Chinese
// characters are two columns wide. The width of ambiguous characters does not depend on the locale.
func printTable(b *strings.Builder, rows []operator.Row, coloured bool) {
	measure := &runewidth.Condition{EastAsianWidth: false, StrictEmojiNeutral: true}
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], measure.StringWidth(visibleText(cell.Text)))
		}
	}
	for _, row := range rows {
		gap := 0 // spaces that are written once another text follows
		for i, cell := range row {
			text := visibleText(cell.Text)
			rest := widths[i] - measure.StringWidth(text)
			if cell.Right {
				gap, rest = gap+rest, 0
			}
			if text != "" {
				b.WriteString(strings.Repeat(" ", gap) + paintText(text, cell.Tone, coloured))
				gap = 0
			}
			gap += rest + 2
		}
		b.WriteByte('\n')
	}
}

// paintText sets a text in the colour of its tone.
func paintText(text string, tone operator.Tone, coloured bool) string {
	code := map[operator.Tone]string{
		operator.Good: "32", operator.Notice: "36", operator.Warning: "33", operator.Bad: "1;31", operator.Strong: "1",
	}[tone]
	if !coloured || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// usesColour reports whether the output is shown in colour: on a terminal that has some, unless
// NO_COLOR is set.
func (p *process) usesColour() bool {
	return p.onTerminal() && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
}

// onTerminal reports whether a person sees the output as it comes.
func (p *process) onTerminal() bool {
	file, ok := p.stdout.(*os.File)
	return ok && isTerminal(file)
}
