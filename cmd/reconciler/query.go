package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"reconciler/internal/chinaums"
	"reconciler/internal/credentials"
	"reconciler/internal/operator"
	"reconciler/internal/poller"
)

type queryCommand struct {
	Gateway gatewaySettings `embed:"" group:"Gateway:"`

	MID           string `name:"mid" required:"" placeholder:"MID" help:"Merchant number."`
	TID           string `name:"tid" required:"" placeholder:"TID" help:"Terminal number."`
	InstMID       string `name:"inst-mid" default:"MINIDEFAULT" help:"Business type."`
	MerOrderID    string `name:"mer-order-id" placeholder:"NUMBER" help:"The merchant's order number."`
	TargetOrderID string `name:"target-order-id" placeholder:"NUMBER" help:"The channel's order number. One of the two is required."`
	Output        string `name:"output" default:"text" enum:"text,json" help:"Format of the answer on stdout: text or json."`
}

// found is the answer as it is printed.
type found struct {
	HTTPStatus  int             `json:"http_status"`
	ErrCode     string          `json:"err_code"`
	ErrMsg      string          `json:"err_msg"`
	TradeStatus string          `json:"trade_status"`
	TotalAmount *int64          `json:"total_amount"` // fen
	Response    json.RawMessage `json:"response"`     // masked
}

// Run asks once, without retries, and prints the answer. It fails unless the
// answer is HTTP 200 and SUCCESS.
func (c *queryCommand) Run(p *process) error {
	options, err := c.Gateway.clientOptions(p.getenv, 1)
	apps, warnings, credentialsErr := c.Gateway.readApps(p.getenv)
	request := chinaums.Request{
		MID: c.MID, TID: c.TID, InstMID: c.InstMID, MerOrderID: c.MerOrderID, TargetOrderID: c.TargetOrderID,
	}
	var numberErr error
	if c.MerOrderID == "" && c.TargetOrderID == "" {
		numberErr = badSetting{"mer-order-id", "or --target-order-id must be given"}
		request.MerOrderID = "missing" // it has its own words
	}
	if err := p.checkSettings(credentialsErr, err, numberErr, poller.CheckTimeout(c.Gateway.RequestTimeout.T), request.Validate()); err != nil {
		return err
	}
	warnAboutFiles(p.ctx, p.newLogger(), warnings)
	i := slices.IndexFunc(apps, func(app credentials.App) bool { return app.MIDs == nil || slices.Contains(app.MIDs, c.MID) })
	if i < 0 {
		return usageError{fmt.Errorf("no app id of %s lists the merchant %s: add it, or correct --mid", c.Gateway.Credentials, c.MID)}
	}
	options.Credentials = apps[i].Credentials
	client, err := chinaums.New(options)
	if err != nil {
		return err
	}
	defer client.Close()
	answer, trouble := client.Query(p.ctx, request)
	return errors.Join(c.printAnswer(p, answer), trouble)
}

func (c *queryCommand) printAnswer(p *process, a chinaums.Answer) error {
	f := found{
		HTTPStatus: a.HTTPStatus, ErrCode: a.Code, ErrMsg: a.Message,
		TradeStatus: string(a.Trade.Status.Value), Response: a.Redacted,
	}
	rows := []operator.Row{
		operator.RowOf("http_status", strconv.Itoa(f.HTTPStatus)), operator.RowOf("err_code", f.ErrCode),
		operator.RowOf("err_msg", f.ErrMsg), operator.RowOf("trade_status", f.TradeStatus),
	}
	if a.Trade.TotalAmount.Present && a.Trade.TotalAmount.Err == nil {
		f.TotalAmount = &a.Trade.TotalAmount.Value
		rows = append(rows, operator.RowOf("total_amount", fmt.Sprint(*f.TotalAmount, " fen")))
	}
	rows = append(rows, operator.RowOf("response", string(f.Response)))
	return p.printResult(c.Output, f, operator.Page{Rows: rows})
}
