package chinaums

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Class says what kind of trouble an answer, or its absence, is. The empty Class is no trouble.
type Class string

// The classes. None of them says anything about the payment.
const (
	ClassNoOrder     Class = "no_order"     // the gateway knows no such order, yet or at all
	ClassProcessing  Class = "processing"   // another operation holds the order for up to a minute
	ClassBadRequest  Class = "bad_request"  // this question will never be accepted as it stands
	ClassCredentials Class = "credentials"  // no question of this app id will be answered until somebody acts
	ClassMerchant    Class = "merchant"     // no question about this mid will be answered until somebody acts
	ClassTransient   Class = "transient"    // the same question may be answered when it is asked again
	ClassUnknownCode Class = "unknown_code" // a code that is not known here; the vendor's list grows
	ClassNoCode      Class = "no_code"      // HTTP 200 and a JSON object, but no code that can be read
)

// Classes lists all classes of trouble.
func Classes() []Class {
	return []Class{
		ClassNoOrder, ClassProcessing, ClassBadRequest, ClassCredentials, ClassMerchant, ClassTransient, ClassUnknownCode, ClassNoCode,
	}
}

// String returns the class as one lower-case word, fit for a metric's label.
func (c Class) String() string { return string(c) }

// codeSuccess says that the question was answered. It says nothing about the payment.
const codeSuccess = "SUCCESS"

// codeClock refuses a question because of its time.
const codeClock = "ABNORMAL_REQUEST_TIME"

var errClock = errors.New("this machine's clock is off")

// classOfCode knows the vendor's codes: four digits from the platform, words from the business
// layer behind it.
func classOfCode(code string) (class Class, known bool) {
	switch code {
	case "NO_ORDER":
		return ClassNoOrder, true
	case "ORDER_PROCESSING":
		return ClassProcessing, true
	case "BAD_REQUEST", "9001":
		return ClassBadRequest, true
	case "1000", "1001", "BAD_SIGN", "INVALID_MSGSRC", "DENIED_IP", "ABNORMAL_REQUEST_TIME", "NO_SERVICE":
		return ClassCredentials, true
	case "NO_MERCHANT", "INACTIVE_MERCHANT", "INVLID_MERCHANT_CONFIG":
		return ClassMerchant, true
	case "9200", "9999", "INTERNAL_ERROR", "TIMEOUT", "NET_ERROR", "TXN_DISCARDED", "INVALID_RESPONSE", "SYSTEM_BUSY":
		return ClassTransient, true
	}
	return ClassUnknownCode, false
}

// Classify returns the class of an answer whose body is one JSON object. It goes by the HTTP
// status, by the errCode ("" when none can be read), and by whether there is a trade status. The
// class is empty (no trouble) only for HTTP 200 with SUCCESS. Beside a trade status, a code that is
// not known is trouble: two layers contradict each other, so something between them mixed answers
// up.
func Classify(httpStatus int, code string, hasStatus bool) Class {
	if httpStatus == http.StatusOK {
		return classifyOK(code, hasStatus)
	}
	return classifyNotOK(httpStatus, code, hasStatus)
}

func classifyOK(code string, hasStatus bool) Class {
	switch code {
	case codeSuccess:
		return ""
	case "":
		return ClassNoCode
	}
	class, known := classOfCode(code)
	if hasStatus && !known {
		return ClassTransient
	}
	return class
}

// classifyNotOK believes no trade status. A gateway that is overloaded is believed only what stops
// all its questions.
func classifyNotOK(httpStatus int, code string, hasStatus bool) Class {
	class, known := classOfCode(code)
	stops := class == ClassCredentials || class == ClassMerchant
	switch {
	case isOverloaded(httpStatus) && (!hasStatus || !stops):
		return ClassTransient
	case code == "" || code == codeSuccess:
		return ClassTransient
	case hasStatus && !known:
		return ClassTransient
	}
	return class
}

func isOverloaded(httpStatus int) bool {
	return httpStatus == http.StatusTooManyRequests || httpStatus/100 == 5
}

// Error is why a question has no answer that can be used. It never holds the key or the
// Authorization header.
type Error struct {
	Class         Class
	HTTPStatus    int            // 0 when nothing came
	Code, Message string         // as in Answer
	GatewayFailed bool           // nothing shows the gateway alive; a caller who gave up blames nobody
	RetryAfter    *time.Duration // how long a 429 or 503 asks to be left alone, at most an hour; nil = it does not say
	Err           error          // the cause, where there is one beside the code
}

// newError says what a reply, or none, means. The gateway is alive if a JSON object begins in the
// body, even one that ends too early. It is not with the HTTP status 429 or 5xx.
func (r reply) newError(class Class, cause error) *Error {
	return &Error{
		Class: class, HTTPStatus: r.answer.HTTPStatus, Code: r.answer.Code, Message: r.answer.Message, Err: cause,
		GatewayFailed: !r.alive && !errors.Is(cause, context.Canceled), RetryAfter: r.retryAfter,
	}
}

// clockError says by how much this machine's clock differs from the gateway's, by the stamp of the
// answer, else by the header.
func (r reply) clockError(now time.Time) error {
	theirs := r.answer.Trade.ResponseTime.Value
	if theirs.IsZero() {
		theirs, _ = http.ParseTime(r.date)
	}
	if theirs.IsZero() {
		return errClock
	}
	direction, by := "ahead of", now.Sub(theirs).Round(time.Second)
	if by < 0 {
		direction, by = "behind", -by
	}
	return fmt.Errorf("%w: it is %v %s the answer's stamp, %s", errClock, by, direction, theirs.In(China()).Format(DateTimeLayout))
}

// What Error repeats at most, in characters: of a text of the gateway's, and of a cause.
const (
	maxQuoted = 200
	maxCause  = 1000
)

// Error says what happened in one line without control characters; what the gateway wrote is
// quoted, and cut where it is long.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "chinaums: %s: %s", e.Class, e.sayWhatCame())
	if e.Code != "" {
		b.WriteString(", code " + quoteText(e.Code))
	}
	if e.Message != "" {
		b.WriteString(", message " + quoteText(e.Message))
	}
	if e.Err != nil {
		b.WriteString(": " + oneLine(e.Err.Error()))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) sayWhatCame() string {
	switch {
	case e.HTTPStatus != 0 && e.Code == "":
		return fmt.Sprintf("HTTP %d without a readable code", e.HTTPStatus)
	case e.HTTPStatus != 0:
		return fmt.Sprintf("HTTP %d", e.HTTPStatus)
	case e.Class == ClassBadRequest:
		return "not sent"
	}
	return "no answer"
}

// quoteText keeps control characters out of logs and columns, and leaves Chinese text readable.
func quoteText(s string) string { return strconv.Quote(cutText(s, maxQuoted)) }

// oneLine does the same for a cause, which may repeat what a broken server wrote. errors.Join puts
// its parts on lines.
func oneLine(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\n", "; ")
	return cutText(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s), maxCause)
}

func cutText(s string, longest int) string {
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}
