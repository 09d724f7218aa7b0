package operator

// Tone says how a cell is meant. A terminal shows it by colour.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Good
	Notice
	Warning
	Bad
	Strong // a heading
)

// Cell is one text of a row. It may hold foreign text as it is: the printer makes it safe.
type Cell struct {
	Text  string
	Tone  Tone
	Right bool // aligned to the right, as figures are
}

// Row is a line. Rows of several cells that follow each other are a table.
type Row []Cell

// Page is the text form of a result, top to bottom. A row without cells is an empty line.
type Page struct{ Rows []Row }

func (p *Page) addLine(tone Tone, text string) {
	p.Rows = append(p.Rows, Row{{Text: text, Tone: tone}})
}

func (p *Page) addBlank() { p.Rows = append(p.Rows, Row{}) }

// RowOf is a row of plain cells, which stay left.
func RowOf(texts ...string) Row {
	row := make(Row, len(texts))
	for i, text := range texts {
		row[i].Text = text
	}
	return row
}

func (p *Page) addRow(texts ...string) { p.Rows = append(p.Rows, RowOf(texts...)) }

// addHeading adds a table's heading.
func (p *Page) addHeading(texts ...string) {
	row := RowOf(texts...)
	for i := range row {
		row[i].Tone = Strong
	}
	p.Rows = append(p.Rows, row)
}

// alignRight aligns columns of the latest n rows to the right.
func (p *Page) alignRight(rows int, columns ...int) {
	for _, row := range p.Rows[len(p.Rows)-rows:] {
		for _, c := range columns {
			if c < len(row) {
				row[c].Right = true
			}
		}
	}
}
