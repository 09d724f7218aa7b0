package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/order"
)

// moment is a line of the story.
type moment struct {
	At          time.Time
	Kind, Class string
	Text, Raw   string
}

// column is a column of the order.
type column struct{ Name, Value string }

type orderPage struct {
	F             operator.Facts
	W             operator.Why
	Number, Tone  string
	Verdict, Rest string // of the sentence
	Plain         string // the amount, as the form takes it
	Timeline      timeline
	Story         []moment
	Fields        []column
	FieldCount    int
	Forms         bool
	Settled       []option
}

// pathOrder is the order of the address.
func (v *visit) pathOrder() (operator.OrderName, error) {
	id, err := strconv.ParseInt(v.r.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		return operator.OrderName{}, operator.ErrNoOrder
	}
	return operator.OrderName{ID: id}, nil
}

func (c *Console) showOrder(v *visit) error {
	name, err := v.pathOrder()
	if err != nil {
		return err
	}
	why, err := v.desk().Why(v.ctx(), name)
	if err != nil {
		return err
	}
	f := why.Facts(v.Locale)
	p := orderPage{
		F: f, W: why, Number: numberOf(f.MerOrderID, f.TargetOrderID, f.ID), Tone: toneClass(why.Outcome.Tone()),
		Plain: plainYuan(f.OrderAmount), Timeline: v.timelineOf(f, why), Forms: v.isOperator() && (f.Resolvable || f.Retriable),
	}
	buyers := v.fillFields(&p)
	p.Verdict, p.Rest = headOf(p.W.Sentence)
	for _, m := range why.Story {
		line := moment{At: m.At, Kind: v.Kind(m.Kind), Class: momentKind(m), Text: maskTexts(m.Text, buyers)}
		if m.LedgerRow != nil && len(m.Response) > 0 {
			line.Raw = maskDocument(m.Response, buyers)
		}
		p.Story = append(p.Story, line)
	}
	for _, s := range order.SettledStatuses() {
		p.Settled = append(p.Settled, option{Value: string(s), Word: v.Outcome(operator.OutcomeOf(s, "")) + " · " + string(s)})
	}
	return v.showPage(http.StatusOK, "order_page", v.t("order")+" "+p.Number, p)
}

// headOf parts the verdict from what explains it: at the first stop or colon that is no part of a
// time or an amount.
func headOf(sentence string) (head, rest string) {
	end := len(sentence)
	for _, stop := range []string{". ", ": ", "。", "："} {
		if i := strings.Index(sentence, stop); i >= 0 {
			end = min(end, i+len(stop))
		}
	}
	return strings.TrimRight(sentence[:end], ".:。： "), strings.TrimSpace(sentence[end:])
}

// plainYuan is an amount without sign and separators, as a form takes it.
func plainYuan(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) }

// fillFields lists the columns that have a value, with payers masked. It returns the payers.
func (v *visit) fillFields(p *orderPage) (buyers []string) {
	value, err := decodeDocument(p.W.Order)
	columns, ok := value.(map[string]any)
	if err != nil || !ok {
		return nil
	}
	buyers = buyersOf(value)
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		text := v.columnText(name, columns[name])
		if isBuyer(name) {
			text = maskText(text)
		}
		if text != "" {
			p.Fields = append(p.Fields, column{name, maskTexts(text, buyers)})
		}
	}
	p.FieldCount = len(p.Fields)
	p.F.ReviewNote, p.W.Sentence = maskTexts(p.F.ReviewNote, buyers), maskTexts(p.W.Sentence, buyers)
	return buyers
}

// columnText is a column's value: amounts in yuan, times in the zone.
func (v *visit) columnText(name string, value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case json.Number:
		if fen, err := value.Int64(); err == nil && isAmount(name) {
			return operator.Yuan(fen)
		}
		return value.String()
	case string:
		if at, err := time.Parse(time.RFC3339, value); err == nil {
			return v.Stamp(at)
		}
		return value
	}
	text, _ := json.Marshal(value) // what was decoded
	return string(text)
}

func isAmount(name string) bool {
	return strings.HasSuffix(name, "_amount") || strings.HasSuffix(name, "_amt") || strings.HasPrefix(name, "coupon_")
}
