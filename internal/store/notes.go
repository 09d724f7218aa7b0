package store

import (
	"cmp"
	"fmt"

	"reconciler/internal/order"
)

// The review notes of what only a write can show stand here. All others are of internal/policy.

// notes is the language of these notes: "zh" is Chinese, anything else English.
type notes string

// UseLanguage sets the language of the review notes that the store itself writes, "en" or "zh". It
// is called before the store is in use.
func (s *Store) UseLanguage(lang string) { s.answers.notes = notes(lang) }

func (n notes) conflictNote(held, answered order.Status) string {
	if n == "zh" {
		return fmt.Sprintf("查询期间订单已确定为 %s，而网关答复 %s。未作任何更改。请与商户平台核对两者，并人工更正订单。", held, answered)
	}
	return fmt.Sprintf("The order was settled as %s while the gateway was asked, and the gateway answered %s. "+
		"Nothing was changed. Compare both with the merchant platform and correct the order by hand.", held, answered)
}

func (n notes) unwritableNote(answered, cause string) string {
	if n == "zh" {
		return fmt.Sprintf("网关答复%s，但该答复无法写入：%s。未入账。答复保存在台账（order_queries）中，请人工确定订单。",
			cmp.Or(answered, "中没有交易状态"), cause)
	}
	return fmt.Sprintf("The gateway answered %s, but the answer cannot be written: %s. "+
		"Nothing was booked. The answer is in the ledger (order_queries); settle the order by hand.",
		cmp.Or(answered, "without a status"), cause)
}
