package policy

import (
	"regexp"
	"strings"
	"testing"

	"reconciler/internal/order"
)

// Each review has a note in both languages, with the same facts and no trace of its format.
func TestReviewNotesInBothLanguages(t *testing.T) {
	t.Parallel()
	ask := newAsker(t)
	english, chinese := testRules(), testRules()
	english.Lang, chinese.Lang = "en", "zh"
	old, found := anOrder(withAge(200*60*60*1e9)), &order.Evidence{NoOrders: 5}
	for name, tt := range map[string]struct {
		order order.Order
		body  string
		facts []string // in either note
	}{
		"another merchant":  {anOrder(), answer(`mid="` + otherMID + `"`), []string{otherMID, testMID}},
		"no merchant":       {anOrder(), answer("-mid"), nil},
		"another number":    {anOrder(), answer(`merOrderId="319400000000"`), []string{"319400000000", testMer}},
		"amount missing":    {anOrder(), answer("-totalAmount"), []string{"TRADE_SUCCESS", "850"}},
		"amount unreadable": {anOrder(), answer(`totalAmount="ten"`), []string{"TRADE_SUCCESS"}},
		"amount mismatch":   {anOrder(), answer("totalAmount=999"), []string{"1000", "999", "-1", "850", "40"}},
		"bad request":       {anOrder(), codeBody("BAD_REQUEST"), []string{"BAD_REQUEST", "inst_mid"}},
		"window over":       {old, answer(`status="WAIT_BUYER_PAY"`), []string{"168h", "WAIT_BUYER_PAY"}},
		"unconfirmed":       {old, codeBody("NO_ORDER"), []string{"NO_ORDER", testMID, "168h"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply := ask(tt.order, 200, tt.body)
			reply.Evidence = found
			checkNotes(t, english.Decide(tt.order, reply, now), chinese.Decide(tt.order, reply, now), tt.facts)
		})
	}
	checkNotes(t, english.Poison(anOrder()), chinese.Poison(anOrder()), nil)
	checkNotes(t, english.NoCredentials(anOrder()), chinese.NoCredentials(anOrder()), []string{testMID})
}

func checkNotes(t *testing.T, english, chinese order.Outcome, facts []string) {
	t.Helper()
	han := regexp.MustCompile(`\p{Han}`)
	if english.ReviewNote == "" || han.MatchString(strings.ReplaceAll(english.ReviewNote, "查询成功", "")) || !han.MatchString(chinese.ReviewNote) {
		t.Errorf("notes %q and %q", english.ReviewNote, chinese.ReviewNote)
	}
	for _, note := range []string{english.ReviewNote, chinese.ReviewNote} {
		if strings.Contains(note, "%!") {
			t.Errorf("the note shows its format: %q", note)
		}
		for _, fact := range facts {
			if !strings.Contains(note, fact) {
				t.Errorf("the note lacks %q: %q", fact, note)
			}
		}
	}
	english.ReviewNote, chinese.ReviewNote = "", ""
	if outcomeLine(english) != outcomeLine(chinese) {
		t.Errorf("decided %s in English, %s in Chinese", outcomeLine(english), outcomeLine(chinese))
	}
}
