package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"reconciler/internal/operator"
	"reconciler/internal/order"
)

type reviewLine struct {
	operator.Review

	Number, Says string
}

type reviewPage struct {
	Reasons  []option
	MID, CSV string
	Filtered bool
	Rows     []reviewLine
	More     more
}

func (c *Console) showReview(v *visit) error {
	query := v.queryValues()
	f, err := reviewFilter(query)
	if err != nil {
		return err
	}
	f.Limit = pageSize + 1
	list, err := v.desk().Reviews(v.ctx(), f)
	if err != nil {
		return err
	}
	p := reviewPage{MID: f.MID, CSV: localPath("/review.csv", queryWithout(query, "after", "done")), Filtered: f.Reason+f.MID != ""}
	p.Reasons = v.codeChoices(f.Reason, order.ReviewReasons())
	rows := list.Reviews
	if len(rows) > pageSize {
		rows = rows[:pageSize]
		last := rows[pageSize-1]
		next := queryWithout(query, "done")
		next.Set("after", last.ReviewReason+"."+strconv.FormatInt(last.ID, 10))
		p.More.Next = localPath("/review", next)
	}
	if query.Get("after") != "" {
		p.More.First = localPath("/review", queryWithout(query, "after", "done"))
	}
	for _, r := range rows {
		p.Rows = append(p.Rows, reviewLine{r, numberOf(orEmpty(r.MerOrderID), "", r.ID), orEmpty(r.GatewayStatus)})
	}
	return v.showPage(http.StatusOK, "review", v.t("review_page"), p)
}

func reviewFilter(query url.Values) (operator.ReviewFilter, error) {
	f := operator.ReviewFilter{Reason: query.Get("reason"), MID: strings.TrimSpace(query.Get("mid"))}
	reason, id, found := strings.Cut(query.Get("after"), ".")
	if !found {
		return f, nil
	}
	var err error
	f.AfterReason = reason
	f.AfterID, err = parseCursor(id)
	return f, err
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

type appLine struct {
	operator.AppUse

	Tone, Word, Budget, Width, Merchants string
}

type gatewayPage struct {
	G       operator.Gateway
	Apps    []appLine
	Minutes columns
	Codes   []operator.CodeCount
	Forms   bool
	MID     string
}

func (c *Console) showGateway(v *visit) error {
	g, err := v.desk().Gateway(v.ctx())
	if err != nil {
		return err
	}
	p := gatewayPage{G: g, Minutes: v.minuteColumns(g.At, g.Minutes), Codes: g.Answers.Codes, Forms: v.isOperator(), MID: v.queryValues().Get("mid")}
	p.Minutes.Title = "" // it is the heading
	for i, code := range p.Codes {
		if code.Code == "" {
			p.Codes[i].Code = "–"
		}
	}
	for _, app := range g.Apps {
		line := appLine{AppUse: app, Tone: "good", Word: v.t("asks"), Merchants: strings.Join(app.MIDs, ", "), Width: strconv.Itoa(int(120 * app.Share()))}
		if app.Paused != nil {
			line.Tone, line.Word = "warning", v.t("paused")
		}
		line.Budget = v.t("no_limit", app.Used)
		if app.Rate > 0 {
			line.Budget = v.t("budget_words", app.Used, app.Rate, 100*app.Share())
		}
		if len(app.MIDs) == 0 {
			line.Merchants = v.t("all_other")
		}
		p.Apps = append(p.Apps, line)
	}
	return v.showPage(http.StatusOK, "gateway", v.t("gateway"), p)
}

type eventLine struct {
	operator.Event

	Number, Delivery, Tone, Last string
}

type eventsPage struct {
	C        operator.Consumers
	Kinds    []option
	Failed   bool
	Filtered bool
	Walked   string
	Rows     []eventLine
	More     more
}

func (c *Console) showEvents(v *visit) error {
	query := v.queryValues()
	f := operator.EventFilter{Event: query.Get("event"), Failed: query.Get("failed") != "", Limit: pageSize}
	var err error
	if f.Below, err = parseCursor(query.Get("below")); err != nil {
		return err
	}
	list, err := v.desk().EventPage(v.ctx(), f)
	if err != nil {
		return err
	}
	p := eventsPage{Failed: f.Failed, Filtered: f.Failed || f.Event != ""}
	if p.C, err = v.desk().Consumers(v.ctx()); err != nil {
		return err
	}
	p.Kinds = v.codeChoices(f.Event, []string{order.EventPaid, order.EventRefunded, order.EventClosed, order.EventNotFound, order.EventReview})
	if list.WalkedTo != nil {
		p.Walked = v.Stamp(*list.WalkedTo)
	}
	p.More = moreOf("/events", query, list.Below)
	for _, e := range list.Events {
		line := eventLine{Event: e, Number: numberOf(orEmpty(e.MerOrderID), "", e.OrderID), Delivery: v.Delivery(e)}
		line.Tone = map[string]string{"delivered": "good", "set_aside": "bad", "failing": "warning", "waiting": "notice"}[e.State]
		if e.LastStatus != nil {
			line.Last = strconv.Itoa(*e.LastStatus)
		}
		line.Last = strings.TrimSpace(line.Last + " " + orEmpty(e.LastAnswer))
		p.Rows = append(p.Rows, line)
	}
	return v.showPage(http.StatusOK, "events", v.t("events"), p)
}

type actionLine struct {
	operator.Action

	What, Change, Reason, Evidence string
}

type auditPage struct {
	Actor, CSV string
	Kinds      []option
	Filtered   bool
	Rows       []actionLine
	More       more
}

func (c *Console) showAudit(v *visit) error {
	query := v.queryValues()
	f, err := actionFilter(query)
	if err != nil {
		return err
	}
	f.Limit = pageSize + 1
	list, err := v.desk().Actions(v.ctx(), f)
	if err != nil {
		return err
	}
	p := auditPage{Actor: f.Actor, CSV: localPath("/audit.csv", queryWithout(query, "below", "done")), Filtered: f.Actor+f.Action != ""}
	p.Kinds = v.codeChoices(f.Action, operator.ActionNames())
	rows, next := list.Actions, int64(0)
	if len(rows) > pageSize {
		rows, next = rows[:pageSize], rows[pageSize-1].ID
	}
	p.More = moreOf("/audit", query, next)
	for _, a := range rows {
		p.Rows = append(p.Rows, actionLine{a, a.What(v.Locale), a.Change(), orEmpty(a.Reason), orEmpty(a.Evidence)})
	}
	return v.showPage(http.StatusOK, "audit", v.t("audit"), p)
}

func actionFilter(query url.Values) (operator.ActionFilter, error) {
	f := operator.ActionFilter{Actor: strings.TrimSpace(query.Get("actor")), Action: query.Get("action")}
	var err error
	f.Below, err = parseCursor(query.Get("below"))
	return f, err
}

// doneWords tells what the action of that number did, where this person did it.
func (v *visit) doneWords(text string) string {
	id, err := parseCursor(text)
	if err != nil || v.user == nil {
		return ""
	}
	list, err := v.desk().Actions(v.ctx(), operator.ActionFilter{Below: id + 1, Limit: 1})
	if err != nil || len(list.Actions) == 0 || list.Actions[0].ID != id || list.Actions[0].Actor != v.user.name {
		return ""
	}
	a := list.Actions[0]
	return fmt.Sprintf("%s · %s · #%d", a.Action, a.What(v.Locale), a.ID)
}
