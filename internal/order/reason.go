package order

// The reasons why a person is needed (orders.review_reason). docs/decisions.md says what to do.
const (
	ReviewIdentityMismatch    = "identity_mismatch"     // the answer is about another order
	ReviewAmountMissing       = "amount_missing"        // paid, but no amount that can be read
	ReviewAmountMismatch      = "amount_mismatch"       // paid, but not the amount that was asked for
	ReviewBadRequest          = "bad_request"           // the gateway refuses the question itself
	ReviewNotFoundUnconfirmed = "not_found_unconfirmed" // NO_ORDER without proof that the merchant's settings work
	ReviewWindowOver          = "query_window_over"     // unresolved at the give-up age
	ReviewPoison              = "poison"                // its questions ended their process, without an answer
	ReviewNoCredentials       = "no_credentials"        // nobody's credentials cover its merchant, never asked
	ReviewConflict            = "conflict"              // two settlements contradict each other
	ReviewUnwritable          = "unwritable"            // the table refuses a value of the answer
)

// ReviewReasons lists all of them.
func ReviewReasons() []string {
	return []string{
		ReviewIdentityMismatch, ReviewAmountMissing, ReviewAmountMismatch, ReviewBadRequest,
		ReviewNotFoundUnconfirmed, ReviewWindowOver, ReviewPoison, ReviewNoCredentials,
		ReviewConflict, ReviewUnwritable,
	}
}

// The reasons of questions that brought no answer about the order.
const (
	ReasonTransient     = "transient"      // nothing usable came; the breaker counts it
	ReasonCredentials   = "credentials"    // the gateway refuses the app id
	ReasonMerchant      = "merchant"       // the gateway refuses the merchant
	ReasonInternalError = "internal_error" // our own fault; says nothing about the gateway
	ReasonPanic         = "panic"          // the same
)

// The reasons of answers that leave the order unresolved, and of the late check.
const (
	ReasonUnresolved      = "unresolved"
	ReasonNoOrder         = "no_order"
	ReasonOrderProcessing = "order_processing"
	ReasonNotFound        = "not_found"
	ReasonStillNotFound   = "still_not_found"
	// ReasonIdentityUnproven: the answer contradicts nothing and proves nothing.
	ReasonIdentityUnproven = "identity_unproven"
	// ReasonUnusableAnswer: no usable answer came, while other orders of the app id had one.
	ReasonUnusableAnswer = "unusable_answer"
)

// The reasons of answers that this program does not understand.
const (
	ReasonUnknownCode      = "unknown_code"
	ReasonNoCode           = "no_code"
	ReasonUnknownStatus    = "unknown_status"
	ReasonNoStatus         = "no_status"
	ReasonUnreadableStatus = "unreadable_status"
)

// UnexpectedReasons lists the reasons of answers that say something unknown to this program: the
// gateway's vocabulary has grown, or the gateway errs.
func UnexpectedReasons() []string {
	return []string{
		ReasonUnknownCode, ReasonNoCode, ReasonUnknownStatus, ReasonNoStatus, ReasonUnreadableStatus,
	}
}
