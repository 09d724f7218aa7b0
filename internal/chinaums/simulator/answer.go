package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"reconciler/internal/chinaums"
)

const (
	codeSuccess = "SUCCESS"
	contentJSON = "application/json;charset=UTF-8"
	contentHTML = "text/html"

	// echoAuthorization stands for the request's header, in a Message or Raw: a gateway that
	// repeats a secret.
	echoAuthorization = "{authorization}"
)

// reply is a step as the answer to one round trip; facts are nil where it is not about an order.
type reply struct {
	Step
	facts     *facts
	token     string // that is given, "" where none is
	tokenLife time.Duration
}

// answer is what goes out.
type answer struct {
	Answer
	contentType string
	location    string
	retryAfter  string
	body        []byte
}

// bentBy returns the reply with what an outage's step adds. A fault of the order's own stays: an
// outage never lets through an answer that would not have arrived without it.
func (r reply) bentBy(by Step) reply {
	r.Delay += by.Delay
	r.Mutations = slices.Concat(r.Mutations, by.Mutations)
	if by.HTTPStatus != 0 {
		r.HTTPStatus = by.HTTPStatus
	}
	r.Fault = cmp.Or(r.Fault, by.Fault)
	if by.RetryAfter != "" {
		r.RetryAfter = by.RetryAfter
	}
	return r
}

func (r reply) renderAnswer(in *incoming, p Profile) answer {
	a := answer{contentType: contentJSON, body: r.renderBody(in, p)}
	a.Answer = Answer{HTTPStatus: r.usualHTTPStatus(), Code: r.errCode(), Status: r.Status, Fault: r.Fault, Delay: r.Delay}
	if r.Raw != "" {
		a.Code = ""
	}
	r.Fault.bendAnswer(&a)
	if r.HTTPStatus != 0 && a.HTTPStatus != 0 && r.Fault != FaultSwitching {
		a.HTTPStatus = r.HTTPStatus
	}
	a.retryAfter = r.RetryAfter
	return a
}

func (r reply) renderBody(in *incoming, p Profile) []byte {
	if r.Raw != "" {
		return []byte(in.fillEchoes(r.Raw))
	}
	r.Message = in.fillEchoes(r.Message)
	f := r.renderFields(in, p)
	for _, m := range r.Mutations {
		m.changeOf()(&f)
	}
	return f.toJSON()
}

func (r reply) renderFields(in *incoming, p Profile) fields {
	switch {
	case r.token != "":
		return r.tokenFields()
	case r.Status == "" && isGatewayCode(r.Code):
		return fields{{"errCode", quoteJSON(r.Code)}, {"errInfo", quoteJSON(r.messageOr(usualMessage(r.Code)))}}
	case r.facts == nil, r.Status == "" && r.Code != "" && r.Code != codeSuccess:
		return r.sparseFields(in, p)
	case p == ProfileDocument:
		return r.facts.documentFields(in, r.Step)
	}
	return r.facts.liveFields(in, r.Step)
}

func (r reply) tokenFields() fields {
	var b fields
	b.addText("errCode", r.Code)
	b.addText("errInfo", usualMessage(r.Code))
	b.addText("accessToken", r.token)
	b.addNumber("expiresIn", int64(r.tokenLife/time.Second))
	return b
}

// sparseFields is the business layer's error: no status, no amounts, and after BAD_REQUEST not even
// the merchant.
func (r reply) sparseFields(in *incoming, p Profile) fields {
	var b fields
	b.addText("errMsg", r.messageOr(usualMessage(r.errCode())))
	b.addText("errCode", r.errCode())
	stamp := "responseTimestamp"
	if p == ProfileDocument {
		stamp = "responseTimeStamp"
	}
	b.addText(stamp, in.now.Format(chinaums.DateTimeLayout))
	in.echoFields(&b)
	if r.errCode() == "BAD_REQUEST" {
		return b
	}
	asked := Order{MID: in.query.MID, MerOrderID: in.query.MerOrderID}
	b.addFilled("mid", in.query.MID)
	b.addFilled("tid", in.query.TID)
	b.addFilled("merOrderId", in.query.MerOrderID)
	b.addText("seqId", asked.seqID())
	return b
}

// fillEchoes replaces echoAuthorization in a text of a script.
func (in *incoming) fillEchoes(text string) string {
	return strings.ReplaceAll(text, echoAuthorization, in.header)
}

// echoFields repeats the two fields that are the client's own, if it sent them.
func (in *incoming) echoFields(b *fields) {
	if in.query.hasMsgID {
		b.addText("msgId", in.query.MsgID)
	}
	if in.query.hasSrcReserve {
		b.addText("srcReserve", in.query.SrcReserve)
	}
}

func (s Step) errCode() string {
	if s.Code == "" {
		return codeSuccess
	}
	return s.Code
}

func (s Step) messageOr(usual string) string {
	if s.Message == "" {
		return usual
	}
	return s.Message
}

func (s Step) usualHTTPStatus() int {
	if isGatewayCode(s.Code) && s.Code != codeToken {
		return http.StatusPreconditionFailed
	}
	return http.StatusOK
}

// isGatewayCode reports whether the platform in front of the business layer answers with that code.
func isGatewayCode(code string) bool {
	return len(code) == 4 && !slices.ContainsFunc([]byte(code), func(b byte) bool { return b < '0' || b > '9' })
}

// messageField is where the layer of a code puts its text; never both.
func messageField(code string) string {
	if isGatewayCode(code) {
		return "errInfo"
	}
	return "errMsg"
}

// usualMessage is the vendor's text for a code where one is known, else its meaning.
func usualMessage(code string) string {
	switch code {
	case codeSuccess:
		return "查询成功"
	case "NO_ORDER":
		return "无法找到指定的订单"
	case "BAD_REQUEST":
		return "参数不合法"
	case "ORDER_PROCESSING":
		return "订单处理中，请稍后再试"
	case "ABNORMAL_REQUEST_TIME":
		return "请求时间异常"
	case codeToken:
		return "成功"
	case codeAuth:
		return authFailed
	case "1001":
		return "应用未授权访问该接口"
	case "9001":
		return "参数校验失败"
	case "9200":
		return "系统繁忙"
	case "9999":
		return "系统错误"
	}
	return "处理失败: " + code
}
