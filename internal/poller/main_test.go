package poller

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/policy"
	"reconciler/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const (
	testMID    = "898340149000005"
	otherMID   = "898340149000006"
	testTID    = "88880001"
	testMer    = "319420260601100000ABCDEFGHIJ"
	testTarget = "4200001234202606011234567890"
	testAmount = 1000
)

func credentials() chinaums.Credentials {
	return chinaums.Credentials{AppID: "test-app", AppKey: "test-key"}
}

// oneApp is one app of all merchants.
func oneApp(g Gateway) []App { return []App{{AppID: credentials().AppID, Gateway: g}} }

// testPlan is the default plan without jitter, so that each wait is a round number.
func testPlan() policy.Plan {
	return policy.Plan{
		Initial: time.Minute, Multiplier: 2, Max: time.Hour,
		SlowAfter: 24 * time.Hour, GiveUpAfter: 168 * time.Hour, NotFoundAfter: 2 * time.Hour,
	}
}

// answer is the body of a paid order's answer, changed: `key=value` replaces or
// adds a member, `-key` takes it away, `+key=value` gives it once more.
func answer(changes ...string) string {
	members := []string{
		`errCode="SUCCESS"`, `errMsg="查询成功"`, `mid="` + testMID + `"`, `tid="` + testTID + `"`,
		`merOrderId="` + testMer + `"`, `targetOrderId="` + testTarget + `"`,
		`status="TRADE_SUCCESS"`, `totalAmount=1000`, `buyerPayAmount=850`, `receiptAmount=950`, `invoiceAmount=860`,
		`couponAmount=100`, `couponMerchantContribute=40`, `couponOtherContribute=60`, `yxlmAmount=50`,
		`buyerCashPayAmt=840`, `refundAmount=0`, `payTime="2026-06-01 19:55:30"`, `settleDate="2026-06-02"`,
		`seqId="01234567890N"`, `refId="123456789012"`, `settleRefId="01234567891N"`, `targetSys="WXPay"`,
		`targetStatus="SUCCESS"`, `targetMid="1900000109"`, `buyerId="oUpF8u"`, `subBuyerId="oSub8u"`,
		`bankInfo="OTHERS"`, `cardAttr="BALANCE"`, `billFunds="现金:850"`, `billFundsDesc="现金支付8.50元。"`, `activityIds="A1"`,
	}
	has := func(key string) func(string) bool {
		return func(m string) bool { return strings.HasPrefix(m, key+"=") }
	}
	for _, c := range changes {
		key, _, _ := strings.Cut(c, "=")
		switch at := slices.IndexFunc(members, has(key)); {
		case c[0] == '+':
			members = append(members, c[1:])
		case c[0] == '-':
			members = slices.DeleteFunc(members, has(c[1:]))
		case at >= 0:
			members[at] = c
		default:
			members = append(members, c)
		}
	}
	for i, m := range members {
		key, value, _ := strings.Cut(m, "=")
		members[i] = strconv.Quote(key) + ":" + value
	}
	return "{" + strings.Join(members, ",") + "}"
}

// gatewayFunc is a Gateway of one function.
type gatewayFunc func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error)

func (f gatewayFunc) Query(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
	return f(ctx, r)
}
