package simulator

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// wireEffects are what each mutation but those of the parts does to the paid answer of couponOrder:
// members that come (+) and go (-).
func wireEffects() map[Mutation][]string {
	const total, status = "-totalAmount=10000", `-status="TRADE_SUCCESS"`
	const number, target = `-merOrderId="319420230831135026"`, `-targetOrderId="4200258544071631884906143111"`
	const mid, bank = `-mid="898340149000005"`, `-bankInfo="OTHERS"`
	return map[Mutation][]string{
		MutationTotalText:            {total, `+totalAmount="10000"`},
		MutationTotalDecimal:         {total, `+totalAmount=10000.0`},
		MutationTotalDecimalText:     {total, `+totalAmount="10000.00"`},
		MutationTotalExponent:        {total, `+totalAmount=1e+04`},
		MutationTotalFraction:        {total, `+totalAmount=10000.5`},
		MutationTotalFractionText:    {total, `+totalAmount="1.5"`},
		MutationTotalNull:            {total, `+totalAmount=null`},
		MutationTotalMissing:         {total},
		MutationTotalNegative:        {total, `+totalAmount=-10000`},
		MutationTotalTooBig:          {total, `+totalAmount=92233720368547758080`},
		MutationTotalWord:            {total, `+totalAmount="abc"`},
		MutationTotalTwice:           {`+totalAmount=10000`},
		MutationTotalTwiceDifferent:  {`+totalAmount=10001`},
		MutationStatusTwice:          {`+status="TRADE_SUCCESS"`},
		MutationStatusTwiceDifferent: {`+status="TRADE_CLOSED"`},
		MutationStatusUnknown:        {status, `+status="TRADE_FAIL"`},
		MutationStatusEmpty:          {status, `+status=""`},
		MutationStatusMissing:        {status},
		MutationStatusNull:           {status, `+status=null`},
		MutationStatusNumber:         {status, `+status=1`},
		MutationErrCodeMissing:       {`-errCode="SUCCESS"`},
		MutationOtherOrder:           {number, `+merOrderId="3194OTHERORDER"`},
		MutationOtherTargetOrder:     {target, `+targetOrderId="4200000000000000000000000000"`},
		MutationOtherMID:             {mid, `+mid="898000000000000"`},
		MutationNoMID:                {mid},
		MutationNoMerOrderID:         {number},
		MutationNoOrderNumber:        {number, target},
		MutationBillPaymentObject:    {`+billPayment={"billBizType":"bills","payDetail":{"totalAmount":7,"buyerPayAmount":7}}`},
		MutationBillPaymentEmpty:     {`+billPayment={}`},
		MutationBillPaymentText:      {`+billPayment="{\"totalAmount\":7}"`},
		MutationBillPaymentMissing:   nil, // real bodies have none
		MutationUnknownFields:        {`+mchntUuid="2d9081bd6a8b3f0e"`, `+x8Gk2=[{"deep":[null,true,1.5]}]`},
		MutationStampSpelling:        {`-responseTimestamp="2026-06-01 12:00:00"`, `+responseTimeStamp="2026-06-01 12:00:00"`},
		MutationPersonalData:         {`+bankCardNo="6222020200112230000"`, `+buyerUsername="张三"`},
		MutationNUL:                  {bank, `+bankInfo="ICBC\u0000DEBIT"`},
		MutationInvalidUTF8:          {bank, "+bankInfo=\"ICBC\xff\xfe\""},
		MutationLoneSurrogate:        {bank, `+bankInfo="ICBC\ud800"`},
		MutationBadPayTime:           {`-payTime="2026-06-01 12:00:00"`, `+payTime="2026-02-30 25:61:00"`},
		MutationBadSettleDate:        {`-settleDate="2026-06-01"`, `+settleDate="20260230"`},
	}
}

// effect asks with and without mutations, and returns what came and went.
func effect(t *testing.T, profile Profile, mutations ...Mutation) []string {
	t.Helper()
	o := couponOrder()
	o.Timeline = []Step{{Status: "TRADE_SUCCESS", Times: 1}, {Status: "TRADE_SUCCESS", Mutations: mutations}}
	g := serve(t, Options{Profile: profile}, o)
	before, after := g.ask(question{}).members(t), g.ask(question{}).members(t)
	var changes []string
	for _, m := range before {
		if i := slices.Index(after, m); i >= 0 {
			after = slices.Delete(after, i, i+1)
		} else {
			changes = append(changes, "-"+m)
		}
	}
	for _, m := range after {
		changes = append(changes, "+"+m)
	}
	slices.Sort(changes)
	return changes
}

func TestMutations(t *testing.T) {
	t.Parallel()
	effects := wireEffects()
	for _, m := range Mutations() {
		if strings.HasPrefix(string(m), "parts-") {
			continue
		}
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			want, ok := effects[m]
			if !ok {
				t.Fatal("its effect is not listed")
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, effect(t, ProfileLive, m)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMutationsOfParts(t *testing.T) {
	t.Parallel()
	effects := map[Mutation]string{
		MutationPartsText:         `+receiptAmount="9500"`,
		MutationPartsDecimal:      `+receiptAmount=9500.0`,
		MutationPartsDecimalText:  `+receiptAmount="9500.00"`,
		MutationPartsExponent:     `+receiptAmount=9.5e+03`,
		MutationPartsFraction:     `+receiptAmount=9500.5`,
		MutationPartsFractionText: `+receiptAmount="1.5"`,
		MutationPartsNull:         `+receiptAmount=null`,
		MutationPartsMissing:      `-receiptAmount=9500`,
		MutationPartsNegative:     `+receiptAmount=-9500`,
		MutationPartsTooBig:       `+receiptAmount=92233720368547758080`,
		MutationPartsWord:         `+receiptAmount="abc"`,
	}
	for m, want := range effects {
		got := effect(t, ProfileLive, m)
		if !slices.Contains(got, want) {
			t.Errorf("%s: %s is not in %s", m, want, got)
		}
		gone := slices.DeleteFunc(got, func(s string) bool { return s[0] == '+' })
		if len(gone) != len(partAmounts()) || slices.Contains(gone, "-totalAmount=10000") {
			t.Errorf("%s: not the parts are gone, but %s", m, gone)
		}
	}
}

// TestTwiceOrder has the right value last, where a reader that takes the last one finds it.
func TestTwiceOrder(t *testing.T) {
	t.Parallel()
	o := couponOrder()
	o.Timeline[0].Mutations = []Mutation{MutationTotalTwiceDifferent, MutationStatusTwiceDifferent}
	members := serve(t, Options{}, o).ask(question{}).members(t)
	got := slices.DeleteFunc(members, func(m string) bool {
		return !strings.HasPrefix(m, "totalAmount=") && !strings.HasPrefix(m, "status=")
	})
	want := []string{"totalAmount=10001", "totalAmount=10000", `status="TRADE_CLOSED"`, `status="TRADE_SUCCESS"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMutationsCompose(t *testing.T) {
	t.Parallel()
	want := []string{`+mid="898000000000000"`, `+totalAmount="10001"`, `+totalAmount=10001`}
	got := effect(t, ProfileLive, MutationTotalTwiceDifferent, MutationTotalTwice, MutationTotalText, MutationNoMID, MutationOtherMID)
	got = slices.DeleteFunc(got, func(s string) bool { return s[0] == '-' })
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMutationsOfTheDocumentProfile(t *testing.T) {
	t.Parallel()
	got := effect(t, ProfileDocument, MutationTotalDecimal, MutationBillPaymentMissing, MutationStampSpelling, MutationStatusTwiceDifferent)
	want := []string{
		`+responseTimestamp="2026-06-01 12:00:00"`, `+status="TRADE_CLOSED"`, `+totalAmount=10000.0`,
		`-billPayment={}`, `-responseTimeStamp="2026-06-01 12:00:00"`, `-totalAmount="10000"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMutationsWithoutTheirMember leaves an error's body as it is, or adds to it, but never breaks.
func TestMutationsWithoutTheirMember(t *testing.T) {
	t.Parallel()
	for _, m := range Mutations() {
		for _, code := range []string{"NO_ORDER", "9200"} {
			g := serve(t, Options{}, order(Step{Code: code, Mutations: []Mutation{m}}))
			if members := g.ask(question{}).members(t); len(members) == 0 {
				t.Errorf("%s: empty body", m)
			}
		}
	}
}

func TestInvalidUTF8(t *testing.T) {
	t.Parallel()
	g := serve(t, Options{}, order(Step{Status: "TRADE_SUCCESS", Mutations: []Mutation{MutationInvalidUTF8}}))
	if body := g.ask(question{}).body; utf8.Valid(body) {
		t.Errorf("%q", body)
	}
}
