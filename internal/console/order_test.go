package console

import (
	"testing"
)

// The head of an order's page says the verdict large, and the rest as text.
func TestHeadOfSentence(t *testing.T) {
	t.Parallel()
	for sentence, want := range map[string][2]string{
		"PAID, ¥7.00, at 2026-11-26 19:35:41. A person settled it at 2026-11-26 19:36:00.": {"PAID, ¥7.00, at 2026-11-26 19:35:41", "A person settled it at 2026-11-26 19:36:00."},
		"已支付，¥7.00，支付时间 2026-11-26 19:35:41。由商户应用自行确定。":                                    {"已支付，¥7.00，支付时间 2026-11-26 19:35:41", "由商户应用自行确定。"},
		"NOT FOUND: the gateway does not know the order. Nobody has paid by it.":           {"NOT FOUND", "the gateway does not know the order. Nobody has paid by it."},
		"网关无此订单：没有人通过此订单付款。":                                                               {"网关无此订单", "没有人通过此订单付款。"},
		"NEEDS A PERSON (poison). ": {"NEEDS A PERSON (poison)", ""},
		"":                          {"", ""},
	} {
		if head, rest := headOf(sentence); head != want[0] || rest != want[1] {
			t.Errorf("%q has the head %q and the rest %q", sentence, head, rest)
		}
	}
}
