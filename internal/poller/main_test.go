package poller

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"reconciler/internal/chinaums"
	"reconciler/internal/chinaums/simulator"
	"reconciler/internal/policy"
	"reconciler/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

const (
	testMID    = "898340149000005"
	otherMID   = "898340149000006"
	testTID    = "88880001"
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

// refusedNumber is the answer about paid order i whose channel number is too short for a
// constraint.
func refusedNumber(i int) simulator.Step {
	return simulator.Step{Raw: fmt.Sprintf(`{"errCode":"SUCCESS","mid":%q,"tid":%q,"merOrderId":%q,"targetOrderId":"short",
		"status":"TRADE_SUCCESS","totalAmount":%d,"payTime":"2026-06-01 19:55:30","settleDate":"2026-06-02"}`, testMID, testTID, mer(i), testAmount)}
}

// gatewayFunc is a Gateway of one function.
type gatewayFunc func(ctx context.Context, r chinaums.Request) (chinaums.Answer, error)

func (f gatewayFunc) Query(ctx context.Context, r chinaums.Request) (chinaums.Answer, error) {
	return f(ctx, r)
}
