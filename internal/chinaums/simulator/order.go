package simulator

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"reconciler/internal/chinaums"
)

const (
	defaultTID       = "88880001"
	defaultInstMID   = "MINIDEFAULT"
	defaultTargetSys = "WXPay"
	prefixLength     = 4
	// expiry is the gateway's, when an order was registered without one.
	expiry = 30 * time.Minute
)

// Order is a payment that the gateway knows, with the script of its life. Amounts are fen.
type Order struct {
	MID           string `yaml:"mid"`             // 8 to 32 characters
	TID           string `yaml:"tid"`             // "" = 88880001; never compared
	InstMID       string `yaml:"inst_mid"`        // "" = MINIDEFAULT
	MerOrderID    string `yaml:"mer_order_id"`    // 6 to 64 characters
	TargetOrderID string `yaml:"target_order_id"` // "" = one of WeChat's form
	TargetSys     string `yaml:"target_sys"`      // "" = WXPay

	Amount         int64  `yaml:"amount"`          // totalAmount
	MerchantCoupon int64  `yaml:"merchant_coupon"` // the part of it that the merchant's coupon pays
	OtherCoupon    int64  `yaml:"other_coupon"`    // the part of it that others' coupons pay
	AllianceCoupon int64  `yaml:"alliance_coupon"` // the part of it that the marketing alliance pays, yxlmAmount
	BuyerID        string `yaml:"buyer_id"`        // "" = one of the channel's form
	MerchantName   string `yaml:"merchant_name"`   // "" = some Chinese text

	CreatedAt    time.Time     `yaml:"created_at"`    // zero = Age before it is added
	Age          time.Duration `yaml:"age"`           // of no effect with CreatedAt
	FromCreation bool          `yaml:"from_creation"` // the first step began at CreatedAt; otherwise with the first round trip
	Timeline     []Step        `yaml:"timeline"`      // none = registered but never opened, NO_ORDER
}

// Step is one stretch of an order's life, or of an outage. It ends with whichever of its limits
// comes first; an order's last step never ends. A step begins with its first round trip, or when
// the time of the one before it is over.
//
// A step answers with a trade status, with a code, or with both: an answer that contradicts itself.
// With neither it is SUCCESS with the empty status of the vendor's own sample. Gateway codes, four
// digits, come with HTTP 412 and errInfo, all others with HTTP 200 and errMsg.
type Step struct {
	Times       int           `yaml:"times"`       // lasts for so many round trips; 0 = not limited
	For         time.Duration `yaml:"for"`         // lasts so long; 0 = not limited
	Probability float64       `yaml:"probability"` // answers with this chance, else the steps after it live on; 0 = always

	Status     chinaums.Status `yaml:"status"`      // trade status, any word
	Code       string          `yaml:"code"`        // "" = SUCCESS
	Message    string          `yaml:"message"`     // errMsg or errInfo; "" = the usual text; {authorization} = the request's header
	HTTPStatus int             `yaml:"http_status"` // 0 = the usual one
	RetryAfter string          `yaml:"retry_after"` // header Retry-After, verbatim; "" = none
	Raw        string          `yaml:"raw"`         // verbatim body instead of all that; {authorization} as in Message

	Fault     Fault         `yaml:"fault"`     // what happens to the answer on its way
	Delay     time.Duration `yaml:"delay"`     // before the answer or the fault; how long a slow fault drips, 0 = 30 s
	Mutations []Mutation    `yaml:"mutations"` // applied to the body in this order

	Amount       *int64     `yaml:"amount"`        // totalAmount; nil = the order's
	RefundAmount *int64     `yaml:"refund_amount"` // nil = all for TRADE_REFUND, and for TRADE_CLOSED after a paid step; else 0
	PayTime      *time.Time `yaml:"pay_time"`      // nil = soon after creation, but not before the last unpaid answer
}

// Merchant is a merchant with switches. Those that nobody set are active.
type Merchant struct {
	MID    string        `yaml:"mid"`
	State  MerchantState `yaml:"state"`
	Prefix string        `yaml:"prefix"` // 4 characters that its order numbers begin with; "" = any
}

// MerchantState is what the gateway thinks of a merchant.
type MerchantState string

// The states of a merchant.
const (
	MerchantActive    MerchantState = "active"     // also ""
	MerchantInactive  MerchantState = "inactive"   // INACTIVE_MERCHANT
	MerchantUnknown   MerchantState = "unknown"    // NO_MERCHANT
	MerchantBadConfig MerchantState = "bad-config" // INVLID_MERCHANT_CONFIG, as the vendor spells it
	MerchantDeniedIP  MerchantState = "denied-ip"  // DENIED_IP
)

func (s MerchantState) errCode() string {
	switch s {
	case MerchantInactive:
		return "INACTIVE_MERCHANT"
	case MerchantUnknown:
		return "NO_MERCHANT"
	case MerchantBadConfig:
		return "INVLID_MERCHANT_CONFIG"
	case MerchantDeniedIP:
		return "DENIED_IP"
	}
	return ""
}

func (m Merchant) findProblems() problems {
	var p problems
	p.refuseLength("mid", m.MID, 8, 32)
	p.refuseIf(m.State != "" && m.State != MerchantActive && m.State.errCode() == "", "unknown state %q", m.State)
	n := utf8.RuneCountInString(m.Prefix)
	p.refuseIf(n != 0 && n != prefixLength, "prefix %q has not %d characters", m.Prefix, prefixLength)
	return p
}

func (o Order) withDefaults(now time.Time) Order {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&o.TID, defaultTID)
	fill(&o.InstMID, defaultInstMID)
	fill(&o.TargetSys, defaultTargetSys)
	fill(&o.TargetOrderID, "4200"+o.deriveDigits("targetOrderId", 24))
	fill(&o.BuyerID, "o"+o.deriveLetters("buyerId", 27))
	fill(&o.MerchantName, "测试商户(小程序)")
	if o.CreatedAt.IsZero() {
		o.CreatedAt = now.Add(-o.Age)
	}
	if len(o.Timeline) == 0 {
		o.Timeline = []Step{{Code: "NO_ORDER"}} // registered, and never opened
	}
	o.CreatedAt = o.CreatedAt.In(chinaums.China()).Truncate(time.Second)
	return o
}

// findProblems are all that is wrong with the order, its defaults filled in and its steps included.
// The prefix is its merchant's.
func (o Order) findProblems(prefix string) problems {
	var p problems
	p.refuseLength("mid", o.MID, 8, 32)
	p.refuseLength("tid", o.TID, 2, 32)
	p.refuseLength("inst_mid", o.InstMID, 8, 32)
	p.refuseLength("mer_order_id", o.MerOrderID, 6, 64)
	p.refuseLength("target_order_id", o.TargetOrderID, 6, 64)
	p.refuseIf(!strings.HasPrefix(o.MerOrderID, prefix), "无效订单号，订单号必须以%s开头", prefix)
	p.refuseIf(o.Age < 0, "age %v is negative", o.Age)
	p.refuseIf(min(o.Amount, o.MerchantCoupon, o.OtherCoupon, o.AllianceCoupon) < 0, "an amount is negative")
	p.refuseIf(o.MerchantCoupon+o.OtherCoupon+o.AllianceCoupon > o.Amount, "coupons exceed the amount")
	return append(p, checkSteps("timeline", o.Timeline, checkOrderStep)...)
}

// problems collects errors.
type problems []error

func (p *problems) refuseIf(bad bool, format string, args ...any) {
	if bad {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

// refuseLength refuses what no request could ask for.
func (p *problems) refuseLength(name, value string, shortest, longest int) {
	n := utf8.RuneCountInString(value)
	p.refuseIf(n < shortest || n > longest, "%s %q has not %d to %d characters", name, value, shortest, longest)
}

// stepError is what is wrong with one step of a list.
type stepError struct {
	list  string
	index int
	err   error
}

// Error counts the steps from 1.
func (e *stepError) Error() string { return fmt.Sprintf("%s, step %d: %v", e.list, e.index+1, e.err) }

// Unwrap returns what is wrong.
func (e *stepError) Unwrap() error { return e.err }

func checkSteps(list string, steps []Step, check func(s Step, last bool) problems) problems {
	var p problems
	for i, step := range steps {
		for _, err := range check(step, i == len(steps)-1) {
			p = append(p, &stepError{list, i, err})
		}
	}
	return p
}

func checkOrderStep(s Step, last bool) problems {
	p := s.findProblems()
	p.refuseIf(last && s.Probability > 0, "the last step has no other to leave the rest of its chances to")
	return p
}

func checkOutageStep(s Step, _ bool) problems {
	p := s.findProblems()
	p.refuseIf(s.Status != "", "an outage has no trade status")
	return p
}

func (s Step) findProblems() problems {
	var p problems
	p.refuseIf(s.Times < 0, "times %d is negative", s.Times)
	p.refuseIf(s.For < 0, "for %v is negative", s.For)
	p.refuseIf(s.Delay < 0, "delay %v is negative", s.Delay)
	p.refuseIf(!(s.Probability >= 0 && s.Probability <= 1), "probability %v is not between 0 and 1", s.Probability)
	p.refuseIf(s.HTTPStatus != 0 && (s.HTTPStatus < 200 || s.HTTPStatus > 599), "http_status %d is not between 200 and 599", s.HTTPStatus)
	p.refuseIf(s.Fault != "" && !s.Fault.isKnown(), "unknown fault %q", s.Fault)
	for _, m := range s.Mutations {
		p.refuseIf(m.changeOf() == nil, "unknown mutation %q", m)
	}
	p.refuseIf(s.Raw != "" && (s.Code != "" || s.Status != "" || len(s.Mutations) > 0), "raw excludes status, code and mutations")
	return p
}

// answersAlone reports whether an outage's step answers by itself. One that does not bends the
// usual answer.
func (s Step) answersAlone() bool {
	return s.Code != "" || s.Raw != "" || s.Fault.replacesBody()
}
