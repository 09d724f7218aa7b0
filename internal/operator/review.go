package operator

import (
	"context"
	"strings"
	"time"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// Reviews is the list of the orders that need a person.
type Reviews struct {
	Reviews []Review `json:"reviews"`
}

// Review is one of them.
type Review struct {
	ID               int64      `json:"id"`
	MID              string     `json:"mid"`
	MerOrderID       *string    `json:"mer_order_id"`
	OrderAmountFen   int64      `json:"order_amount_fen"`
	GatewayStatus    *string    `json:"gateway_status"`
	GatewayAmountFen *int64     `json:"gateway_amount_fen"`
	ReviewReason     string     `json:"review_reason"`
	Since            *time.Time `json:"since"`
	WhatToDo         string     `json:"what_to_do"`
}

// Reviews lists the orders that need a person.
func (d *Desk) Reviews(ctx context.Context, f store.ReviewFilter) (Reviews, error) {
	rows, err := d.Store.Reviews(ctx, f)
	if err == nil && len(rows) == 0 {
		err = checkKnown("review reason", f.Reason, order.ReviewReasons())
	}
	list := Reviews{Reviews: make([]Review, len(rows))}
	for i, r := range rows {
		list.Reviews[i] = Review{
			ID: r.ID, MID: r.MID, MerOrderID: nullText(r.MerOrderID), OrderAmountFen: r.OrderAmount, GatewayStatus: r.GatewayStatus,
			GatewayAmountFen: r.GatewayAmount, ReviewReason: r.ReviewReason, Since: d.localOf(r.Since), WhatToDo: d.say(whatToDo(r.ReviewReason)),
		}
	}
	return list, err
}

// Page is the list as a table.
func (r Reviews) Page(l Locale) Page {
	var p Page
	if len(r.Reviews) == 0 {
		p.addLine(Good, l.say(msgReviewNone))
		return p
	}
	if since := r.Reviews[0].Since; since != nil {
		p.addLine(Plain, l.say(msgZone, l.ZoneName(*since)))
	}
	p.addHeading(l.say(msgColID), l.say(msgColMerchant), l.say(msgColOrder), l.say(msgColAskedFor), l.say(msgColGateway), l.say(msgColReason), l.say(msgColSince), l.say(msgColDo))
	for _, o := range r.Reviews {
		since := "-"
		if o.Since != nil {
			since = l.Stamp(*o.Since)
		}
		p.addRow("#"+formatInt(o.ID), o.MID, textOf(o.MerOrderID), Yuan(o.OrderAmountFen), strings.TrimSpace(textOf(o.GatewayStatus)+" "+yuanOf(o.GatewayAmountFen)), o.ReviewReason, since, o.WhatToDo)
	}
	p.alignRight(len(r.Reviews)+1, 3)
	return p
}
