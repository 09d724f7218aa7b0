package console

import (
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/operator"
)

const (
	// maxExport bounds the rows of a file.
	maxExport   = 100_000
	exportBatch = 1000
)

// table writes a CSV file as it is read.
type table struct{ *csv.Writer }

// startCSV begins a file. The mark at its beginning lets spreadsheets read Chinese.
func (v *visit) startCSV(name string, head ...string) table {
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`-`+time.Now().In(v.Zone).Format("20060102-150405")+`.csv"`)
	_, _ = v.w.Write([]byte("\uFEFF"))
	t := table{csv.NewWriter(v.w)}
	t.writeRow(head...)
	return t
}

// writeRow writes a row in which no text is a formula.
func (t table) writeRow(cells ...string) {
	for i, cell := range cells {
		cells[i] = plainCell(cell)
	}
	_ = t.Write(cells) // Flush tells
}

// plainCell keeps a spreadsheet from taking foreign text for a formula.
func plainCell(text string) string {
	text = strings.TrimSpace(string(showInvisible([]byte(strings.ReplaceAll(text, "\n", " ")))))
	if text != "" && strings.ContainsRune("=+-@|%\t\r＝＋－＠", []rune(text)[0]) {
		return "'" + text
	}
	return text
}

func (t table) finishTable() error {
	t.Flush()
	return nil // who has gone needs no more
}

func (v *visit) cellTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.In(v.Zone).Format(time.RFC3339)
}

func cellYuan(fen *int64) string {
	if fen == nil {
		return ""
	}
	return plainYuan(*fen)
}

func (c *Console) ordersCSV(v *visit) error {
	f, err := v.orderFilter(v.queryValues())
	if err != nil {
		return err
	}
	f.Limit = exportBatch
	page, err := v.desk().Orders(v.ctx(), f)
	if err != nil {
		return err
	}
	t := v.startCSV("orders", v.t("id"), v.t("merchant"), v.t("order"), v.t("channel_number"), v.t("amount"), v.t("total_amount"), v.t("status"),
		v.t("outcome"), v.t("reason"), v.t("created"), v.t("next"), v.t("last_asked"), v.t("settled_at"), v.t("settled_by"), v.t("last_error"))
	for n := 0; ; {
		for _, o := range page.Orders {
			t.writeRow(strconv.FormatInt(o.ID, 10), o.MID, o.MerOrderID, o.TargetOrderID, plainYuan(o.OrderAmount), cellYuan(o.TotalAmount), string(o.Status),
				v.Outcome(operator.OutcomeOf(o.Status, o.ReviewReason)), o.ReviewReason, v.cellTime(&o.CreatedAt), v.cellTime(comesAt(o)),
				v.cellTime(o.LastQueriedAt), v.cellTime(o.SettledAt), o.SettledBy, o.LastError)
		}
		n += max(len(page.Orders), exportBatch/10) // a walk that finds nothing counts as well
		if f.Below = page.Below; f.Below == 0 || n >= maxExport {
			return t.finishTable()
		}
		if page, err = v.desk().Orders(v.ctx(), f); err != nil {
			t.writeRow(v.t("not_complete"))
			return t.finishTable()
		}
	}
}

func (c *Console) reviewCSV(v *visit) error {
	f, err := reviewFilter(v.queryValues())
	if err != nil {
		return err
	}
	f.Limit = exportBatch
	list, err := v.desk().Reviews(v.ctx(), f)
	if err != nil {
		return err
	}
	t := v.startCSV("review", v.t("id"), v.t("merchant"), v.t("order"), v.t("asked_for"), v.t("gateway_says"), v.t("amount"), v.t("reason"), v.t("since"), v.t("what_to_do"))
	for n := 0; len(list.Reviews) > 0 && n < maxExport; n += len(list.Reviews) {
		for _, r := range list.Reviews {
			t.writeRow(strconv.FormatInt(r.ID, 10), r.MID, orEmpty(r.MerOrderID), plainYuan(r.OrderAmountFen), orEmpty(r.GatewayStatus), cellYuan(r.GatewayAmountFen),
				r.ReviewReason, v.cellTime(r.Since), r.WhatToDo)
		}
		if len(list.Reviews) < exportBatch {
			break
		}
		last := list.Reviews[len(list.Reviews)-1]
		f.AfterReason, f.AfterID = last.ReviewReason, last.ID
		if list, err = v.desk().Reviews(v.ctx(), f); err != nil {
			t.writeRow(v.t("not_complete"))
			break
		}
	}
	return t.finishTable()
}

func (c *Console) auditCSV(v *visit) error {
	f, err := actionFilter(v.queryValues())
	if err != nil {
		return err
	}
	f.Limit = exportBatch
	list, err := v.desk().Actions(v.ctx(), f)
	if err != nil {
		return err
	}
	t := v.startCSV("audit", v.t("id"), v.t("at"), v.t("by"), v.t("db_user"), v.t("via"), v.t("action"), v.t("what"), v.t("before"), v.t("after"), v.t("why"), v.t("evidence"))
	for n := 0; len(list.Actions) > 0 && n < maxExport; n += len(list.Actions) {
		for _, a := range list.Actions {
			t.writeRow(strconv.FormatInt(a.ID, 10), v.cellTime(&a.At), a.Actor, a.DBUser, a.Via, a.Action, a.What(v.Locale), string(a.Before), string(a.After), orEmpty(a.Reason), orEmpty(a.Evidence))
		}
		if len(list.Actions) < exportBatch {
			break
		}
		f.Below = list.Actions[len(list.Actions)-1].ID
		if list, err = v.desk().Actions(v.ctx(), f); err != nil {
			t.writeRow(v.t("not_complete"))
			break
		}
	}
	return t.finishTable()
}
