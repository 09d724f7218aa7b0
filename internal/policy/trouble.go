package policy

import (
	"context"
	"errors"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// Trouble says what a question showed about its app id and its merchant. The circuit breaker reads
// it. It is no part of the decision about the order.
type Trouble int

// The kinds of trouble, beside none.
const (
	NoTrouble          Trouble = iota // a usable answer: both can be asked
	NothingLearned                    // our own fault, or the question was not sent
	GatewayFails                      // nothing showed the gateway alive
	MerchantFails                     // the gateway is alive; this merchant got no usable answer
	CredentialsRefused                // the app id is refused until a person acts
	MerchantRefused                   // the merchant is refused until a person acts
)

// TroubleOf reads the last reply of a question and the decision about it.
func TroubleOf(out order.Outcome, reply error) Trouble {
	switch {
	case out.Reason == order.ReasonCredentials:
		return CredentialsRefused
	case out.Reason == order.ReasonMerchant:
		return MerchantRefused
	case gatewayFailed(reply): // whatever its body says
		return GatewayFails
	case out.Decision != order.NoAnswer && out.Reason != order.ReasonUnusableAnswer:
		return NoTrouble
	}
	if _, found := errors.AsType[*chinaums.Error](reply); !found || errors.Is(reply, context.Canceled) {
		return NothingLearned // a stop cut the round trip off, or the fault is ours
	}
	return MerchantFails
}

// gatewayFailed reports whether a reply shows no living gateway.
func gatewayFailed(reply error) bool {
	e, found := errors.AsType[*chinaums.Error](reply)
	return found && e.GatewayFailed && !errors.Is(reply, context.Canceled)
}
