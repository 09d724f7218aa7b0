package chinaums

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDecodeText(t *testing.T) {
	t.Parallel()
	conflict, notText := unreadable[string](ErrConflict), unreadable[string](ErrNotText)
	tests := []struct {
		body string
		want Field[string]
	}{
		{`{"MID":"1","Mid":"2"}`, Field[string]{}},
		{`{"mid":""}`, Field[string]{}},
		{`{"mid":"898340149000005"}`, text("898340149000005")},
		{`{"mid":898340149000005}`, text("898340149000005")},
		{`{"mid":898340149000005,"mid":"898340149000005"}`, text("898340149000005")},
		{`{"mid":8.98340149000005e14}`, text("8.98340149000005e14")},
		{`{"mid":-1}`, text("-1")},
		{`{"mid":"1","mid":"2"}`, conflict},
		{`{"mid":"1","mid":""}`, conflict},
		{`{"mid":"1","mid":{}}`, conflict},
		{`{"mid":{}}`, notText},
		{`{"mid":[]}`, notText},
		{`{"mid":false}`, notText},
		{`{"mid":"a\u0000b"}`, text("a\x00b")},
		{`{"mid":"a\ud800b"}`, text("a\uFFFDb")},
		{"{\"mid\":\"a\xffb\"}", text("a\uFFFDb")},
		{`{"mid":" "}`, text(" ")},
		{`{"refId":"a","mid":"1","refId":"b","refId":"c"}`, text("1")}, // a key given again leaves its neighbour alone
	}
	for _, tt := range tests {
		got, err := decoded(tt.body)
		if diff := diffField(tt.want, got.Trade.MID); diff != "" || err != nil {
			t.Errorf("%s: %v %s", tt.body, err, diff)
		}
	}
}

func TestDecodeAmount(t *testing.T) {
	t.Parallel()
	conflict, notAmount := unreadable[int64](ErrConflict), unreadable[int64](ErrNotAmount)
	tests := []struct {
		values []string // of the key totalAmount
		want   Field[int64]
	}{
		{nil, Field[int64]{}},
		{[]string{`""`}, Field[int64]{}},
		{[]string{`null`}, Field[int64]{}},
		{[]string{`null`, `""`, `null`}, Field[int64]{}},
		{[]string{`0`}, fen(0)},
		{[]string{`-0`}, fen(0)},
		{[]string{`100`, `"100"`, `100.0`, `1e2`, `"100.0"`, `"1e2"`, `"0100"`}, fen(100)},
		{[]string{`100`, `101`}, conflict},
		{[]string{`100`, `101`, `100`}, conflict},
		{[]string{`100`, `null`}, conflict},
		{[]string{`""`, `100`}, conflict},
		{[]string{`100`, `"abc"`}, conflict},
		{[]string{`"abc"`, `""`}, notAmount},
		{[]string{`"abc"`, `"def"`}, notAmount},
		{[]string{`-1`}, notAmount},
		{[]string{`"-1"`}, notAmount},
		{[]string{`0.5`}, notAmount},
		{[]string{`1e999999999`}, notAmount},
		{[]string{`"1e-999999999"`}, notAmount},
		{[]string{`9223372036854775808`}, notAmount},
		{[]string{`"一"`}, notAmount},
		{[]string{`" 100"`}, notAmount},
		{[]string{`true`}, notAmount},
		{[]string{`{}`}, notAmount},
		{[]string{`[100]`}, notAmount},
	}
	for _, tt := range tests {
		body := members("totalAmount", tt.values)
		got, err := decoded(body)
		if diff := diffField(tt.want, got.Trade.TotalAmount); diff != "" || err != nil {
			t.Errorf("%s: %v %s", body, err, diff)
		}
	}
}

func members(key string, values []string) string {
	var all []string
	for _, v := range values {
		all = append(all, strconv.Quote(key)+":"+v)
	}
	return "{" + strings.Join(all, ",") + "}"
}

func TestDecodeTimes(t *testing.T) {
	t.Parallel()
	notTime, conflict := unreadable[time.Time](ErrNotTime), unreadable[time.Time](ErrConflict)
	payTime := func(tr Trade) Field[time.Time] { return tr.PayTime }
	date := func(tr Trade) Field[time.Time] { return tr.SettleDate }
	response := func(tr Trade) Field[time.Time] { return tr.ResponseTime }
	tests := []struct {
		body  string
		field func(Trade) Field[time.Time]
		want  Field[time.Time]
	}{
		{`{"payTime":""}`, payTime, Field[time.Time]{}},
		{`{"payTime":"2024-02-29 23:59:59"}`, payTime, chinaTime("2024-02-29 23:59:59")},
		{`{"payTime":"2024-02-29 23:59:59","payTime":"2024-02-29 23:59:59"}`, payTime, chinaTime("2024-02-29 23:59:59")},
		{`{"payTime":"2024-02-29 23:59:59","payTime":"2024-02-29 23:59:58"}`, payTime, conflict},
		{`{"payTime":"2023-02-29 00:00:00"}`, payTime, notTime},
		{`{"payTime":"0000-00-00 00:00:00"}`, payTime, notTime},
		{`{"payTime":"0000-01-01 00:00:00"}`, payTime, notTime},
		{`{"payTime":"2024-01-01 24:00:00"}`, payTime, notTime},
		{`{"payTime":"2024-01-01 23:59:60"}`, payTime, notTime},
		{`{"payTime":"2024-01-01 1:02:03"}`, payTime, notTime},
		{`{"payTime":"2024-01-01 01:02:03.5"}`, payTime, notTime},
		{`{"payTime":"2024-01-01 01:02:03Z"}`, payTime, notTime},
		{`{"payTime":"2024-01-01T01:02:03"}`, payTime, notTime},
		{`{"payTime":"1986-05-04 02:30:00"}`, payTime, notTime}, // an hour that China skipped
		{`{"payTime":"20240101010203"}`, payTime, notTime},
		{`{"payTime":20240101010203}`, payTime, notTime},
		{`{"payTime":{}}`, payTime, notTime},
		{`{"settleDate":"2024-02-29"}`, date, settleDate("2024-02-29")},
		{`{"settleDate":"2023-02-29"}`, date, notTime},
		{`{"settleDate":"2024-2-9"}`, date, notTime},
		{`{"settleDate":"20240229"}`, date, notTime},
		{`{"settleDate":"2024-02-29 00:00:00"}`, date, notTime},
		{`{"responseTimestamp":"2024-01-01 00:00:00"}`, response, chinaTime("2024-01-01 00:00:00")},
		{`{"responseTimeStamp":"2024-01-01 00:00:00"}`, response, chinaTime("2024-01-01 00:00:00")},
		{`{"responseTimestamp":"","responseTimeStamp":"2024-01-01 00:00:00"}`, response, chinaTime("2024-01-01 00:00:00")},
		{`{"responseTimeStamp":"2024-01-02 00:00:00","responseTimestamp":"2024-01-01 00:00:00"}`, response, chinaTime("2024-01-01 00:00:00")},
	}
	for _, tt := range tests {
		got, err := decoded(tt.body)
		if diff := diffField(tt.want, tt.field(got.Trade)); diff != "" || err != nil {
			t.Errorf("%s: %v %s", tt.body, err, diff)
		}
	}
	got, _ := decoded(`{"payTime":"2024-01-01 08:00:00","settleDate":"2024-01-01"}`)
	midnight := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	if !got.Trade.PayTime.Value.Equal(midnight) || got.Trade.SettleDate.Value != midnight {
		t.Errorf("zones: got %v, %v", got.Trade.PayTime.Value, got.Trade.SettleDate.Value)
	}
}
