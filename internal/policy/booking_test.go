package policy

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
	"reconciler/internal/order"
)

// Every field of a booking is booked from the answer's field of the same name. The store's tests
// compare the same fields with the columns of the table.
func TestEveryFieldIsBooked(t *testing.T) {
	t.Parallel()
	var trade chinaums.Trade
	fields := reflect.ValueOf(&trade).Elem()
	for i := range fields.NumField() {
		switch f := fields.Field(i).Addr().Interface().(type) {
		case *chinaums.Field[int64]:
			f.Present, f.Value = true, int64(1000-i) // so that no refund is greater than the total
		case *chinaums.Field[string]:
			f.Present, f.Value = true, fields.Type().Field(i).Name
		case *chinaums.Field[time.Time]:
			f.Present, f.Value = true, now.Add(-time.Duration(i)*time.Second)
		}
	}
	trade.TotalAmount.Value = 2000
	o := anOrder(withNumbers("", ""))
	o.OrderAmount = 2000
	out := testRules().decidePaid(o, trade, now)
	if out.Decision != order.Settled {
		t.Fatalf("decided %s %s", out.Decision, out.LastError)
	}
	booking := reflect.ValueOf(out.Booking)
	for i := range booking.NumField() {
		name := booking.Type().Field(i).Name
		if booking.Field(i).IsNil() {
			t.Errorf("%s is not booked", name)
			continue
		}
		want := fields.FieldByName(name).FieldByName("Value").Interface()
		if diff := cmp.Diff(want, booking.Field(i).Elem().Interface()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
