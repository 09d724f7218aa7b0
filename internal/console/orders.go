package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/order"
)

const pageSize = 50

// option is an entry of a select.
type option struct {
	Value, Word string
	Chosen      bool
}

// more leads to the other pages of a list.
type more struct{ First, Next string }

// orderLine is an order in the list.
type orderLine struct {
	operator.OrderRow

	Number, Word, Tone, Code, Next string
}

type ordersPage struct {
	Q, MID, CSV, Problem, Walked string
	Statuses, Ages, Reviews      []option
	Filtered                     bool
	Rows                         []orderLine
	More                         more
}

// ageFilters are the filters of the list by age, as [from, to) since created_at.
func ageFilters() map[string][2]time.Duration {
	return map[string][2]time.Duration{
		"10m": {0, 10 * time.Minute}, "1h": {10 * time.Minute, time.Hour}, "24h": {time.Hour, 24 * time.Hour}, "older": {24 * time.Hour, 0},
	}
}

func (c *Console) showOrders(v *visit) error {
	query := v.queryValues()
	p := ordersPage{Q: strings.TrimSpace(query.Get("q")), MID: strings.TrimSpace(query.Get("mid"))}
	p.fillChoices(v, query)
	if p.Q != "" {
		return c.searchOrders(v, p)
	}
	f, err := v.orderFilter(query)
	if err != nil {
		return err
	}
	list, err := v.desk().Orders(v.ctx(), f)
	if err != nil {
		return err
	}
	for _, o := range list.Orders {
		p.Rows = append(p.Rows, v.orderLine(o))
	}
	if list.WalkedTo != nil {
		p.Walked = v.Stamp(*list.WalkedTo)
	}
	p.More = moreOf("/orders", query, list.Below)
	// A search has no file: it would hold all orders, not those found.
	p.CSV = localPath("/orders.csv", queryWithout(query, "below", "done"))
	return v.showPage(http.StatusOK, "orders", v.t("orders_page"), p)
}

// orderFilter reads the filter of the address.
func (v *visit) orderFilter(query url.Values) (operator.OrderFilter, error) {
	f := operator.OrderFilter{MID: strings.TrimSpace(query.Get("mid")), Status: order.Status(query.Get("status")), Review: query.Get("review"), Limit: pageSize}
	var err error
	if f.Below, err = parseCursor(query.Get("below")); err != nil {
		return f, err
	}
	if age, known := ageFilters()[query.Get("age")]; known {
		now, err := v.c.Desk.Store.Now(v.ctx())
		if err != nil {
			return f, err
		}
		if age[1] != 0 {
			f.CreatedAfter = timeBefore(now, age[1])
		}
		if age[0] != 0 {
			f.CreatedBefore = timeBefore(now, age[0])
		}
	}
	return f, nil
}

// parseCursor reads the number at which a page begins.
func parseCursor(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, operator.RefuseInput("bad_page", text)
	}
	return n, nil
}

// moreOf are the addresses of the other pages.
func moreOf(path string, query url.Values, next int64) more {
	var m more
	if query.Get("below") != "" {
		m.First = localPath(path, queryWithout(query, "below", "done"))
	}
	if next != 0 {
		further := queryWithout(query, "done")
		further.Set("below", strconv.FormatInt(next, 10))
		m.Next = localPath(path, further)
	}
	return m
}

// queryWithout copies a query except for some keys and empty values.
func queryWithout(query url.Values, keys ...string) url.Values {
	rest := make(url.Values)
	for key, values := range query {
		if len(values) > 0 && values[0] != "" {
			rest[key] = values
		}
	}
	for _, key := range keys {
		rest.Del(key)
	}
	return rest
}

func (p *ordersPage) fillChoices(v *visit, query url.Values) {
	p.Statuses = markChosen(query.Get("status"), option{Value: "", Word: v.t("any")}, option{Value: string(operator.StatusOpen), Word: v.t("any_open")})
	for _, s := range order.Statuses() {
		p.Statuses = append(p.Statuses, markChosen(query.Get("status"), option{Value: string(s), Word: v.Outcome(operator.OutcomeOf(s, "")) + " · " + string(s)})...)
	}
	p.Ages = markChosen(query.Get("age"), option{Value: "", Word: v.t("any")}, option{Value: "10m", Word: v.t("under_10m")},
		option{Value: "1h", Word: v.t("under_1h")}, option{Value: "24h", Word: v.t("under_24h")}, option{Value: "older", Word: v.t("older")})
	p.Reviews = v.codeChoices(query.Get("review"), order.ReviewReasons(), option{Value: operator.AnyReview, Word: v.t("any_review")})
	p.Filtered = query.Get("q")+query.Get("mid")+query.Get("status")+query.Get("age")+query.Get("review") != ""
}

// codeChoices offers any, then more, then codes under their own names.
func (v *visit) codeChoices(chosen string, codes []string, more ...option) []option {
	list := append([]option{{Value: "", Word: v.t("any")}}, more...)
	for _, code := range codes {
		list = append(list, option{Value: code, Word: code})
	}
	return markChosen(chosen, list...)
}

func markChosen(chosen string, list ...option) []option {
	for i := range list {
		list[i].Chosen = list[i].Value == chosen
	}
	return list
}

func (v *visit) orderLine(o operator.OrderRow) orderLine {
	outcome := operator.OutcomeOf(o.Status, o.ReviewReason)
	line := orderLine{OrderRow: o, Number: numberOf(o.MerOrderID, o.TargetOrderID, o.ID), Word: v.Outcome(outcome), Tone: toneClass(outcome.Tone()), Code: string(o.Status), Next: "–"}
	switch {
	case outcome == operator.OutcomeReview:
		line.Code = o.ReviewReason
	case o.InFlight:
		line.Next = v.t("in_flight")
	case comesAt(o) != nil:
		line.Next = v.Stamp(*comesAt(o))
	}
	return line
}

// comesAt is when an order is asked next. The row of one that the application settled keeps its
// time.
func comesAt(o operator.OrderRow) *time.Time {
	if o.Status.Settled() || o.ReviewReason != "" {
		return nil
	}
	return o.NextQueryAt
}

// numberOf is what an order is called: the merchant's number, else the channel's, else the id.
func numberOf(merchants, channels string, id int64) string {
	switch {
	case merchants != "":
		return merchants
	case channels != "":
		return channels
	}
	return "#" + strconv.FormatInt(id, 10)
}

// searchOrders finds an order by any number. One that is found is shown at once.
func (c *Console) searchOrders(v *visit, p ordersPage) error {
	found, err := v.findOrders(p.Q)
	switch {
	case errors.Is(err, operator.ErrUsage):
		p.Problem = v.t("bad_search")
		return v.showPage(http.StatusOK, "orders", v.t("orders_page"), p)
	case err != nil:
		return err
	case len(found) == 1:
		http.Redirect(v.w, v.r, "/orders/"+strconv.FormatInt(found[0].ID, 10), http.StatusSeeOther)
		return nil
	case len(found) == 0:
		p.Problem = v.t("not_found_order")
	default:
		p.Problem = v.t("several_orders")
	}
	for _, o := range found {
		p.Rows = append(p.Rows, orderLine{
			OrderRow: operator.OrderRow{ID: o.ID, MID: o.MID, OrderAmount: o.OrderAmount, CreatedAt: o.CreatedAt},
			Number:   numberOf(o.MerOrderID, o.TargetOrderID, o.ID), Word: v.Outcome(o.Outcome), Tone: toneClass(o.Outcome.Tone()), Next: "–",
		})
	}
	return v.showPage(http.StatusOK, "orders", v.t("orders_page"), p)
}

func (v *visit) findOrders(text string) ([]operator.Found, error) {
	name, err := operator.ParseOrderName(text, "")
	if err != nil {
		return nil, err
	}
	name.References = true
	found, err := v.desk().Find(v.ctx(), name)
	if err != nil || len(found) > 0 || name.ID != 0 {
		return found, err
	}
	if id, err := strconv.ParseInt(name.Number, 10, 64); err == nil && id > 0 {
		return v.desk().Find(v.ctx(), operator.OrderName{ID: id})
	}
	return nil, nil
}
