package chinaums_test

import (
	"errors"
	"strings"
	"testing"

	"reconciler/internal/chinaums"
)

func validRequest() chinaums.Request {
	return chinaums.Request{
		MID: "898340149000005", TID: "88880001", InstMID: "MINIDEFAULT", MerOrderID: "319420230831135026",
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*chinaums.Request)
		want   []string // parts of the message; none = valid
	}{
		"sample":                 {func(*chinaums.Request) {}, nil},
		"no instMid":             {func(r *chinaums.Request) { r.InstMID = "" }, nil},
		"channel's number alone": {func(r *chinaums.Request) { r.MerOrderID, r.TargetOrderID = "", "420000" }, nil},
		"shortest": {func(r *chinaums.Request) {
			r.MID, r.TID, r.InstMID, r.MerOrderID = "12345678", "12", "12345678", "123456"
		}, nil},
		"longest": {func(r *chinaums.Request) {
			r.MID, r.TID, r.InstMID = strings.Repeat("x", 32), strings.Repeat("x", 32), strings.Repeat("x", 32)
			r.MerOrderID, r.TargetOrderID = strings.Repeat("x", 64), strings.Repeat("x", 64)
		}, nil},
		"characters, not bytes": {func(r *chinaums.Request) { r.TID = "一二" }, nil},
		"too short": {func(r *chinaums.Request) {
			r.MID, r.TID, r.InstMID, r.MerOrderID, r.TargetOrderID = "1234567", "1", "1234567", "12345", "12345"
		}, []string{"mid has 7", "tid has 1", "instMid has 7", "merOrderId has 5", "targetOrderId has 5"}},
		"too long": {func(r *chinaums.Request) {
			*r = chinaums.Request{
				MID: strings.Repeat("x", 33), TID: strings.Repeat("x", 33), InstMID: strings.Repeat("x", 33),
				TargetOrderID: strings.Repeat("x", 65), MerOrderID: strings.Repeat("x", 65),
			}
		}, []string{
			"mid has 33", "tid has 33", "instMid has 33",
			"targetOrderId has 65", "merOrderId has 65",
		}},
		"nothing given": {
			func(r *chinaums.Request) { *r = chinaums.Request{} },
			[]string{"mid has 0", "tid has 0", "merOrderId or targetOrderId must be given"},
		},
		"control characters": {func(r *chinaums.Request) {
			r.TID, r.MID, r.MerOrderID = "a\x00b", "89834014900\n005", "31942023\u0085"
		}, []string{"mid holds the control character U+000A", "tid holds the control character U+0000", "merOrderId holds"}},
		"invalid UTF-8": {func(r *chinaums.Request) {
			r.TID, r.MerOrderID = "\xff", "31942023\xc3"
		}, []string{"tid is not valid UTF-8", "merOrderId is not valid UTF-8"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := validRequest()
			tt.change(&r)
			err := r.Validate()
			if tt.want == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var refused *chinaums.Error
			if !errors.As(err, &refused) || refused.Class != chinaums.ClassBadRequest || refused.HTTPStatus != 0 {
				t.Fatalf("got %#v", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if n := strings.Count(err.Error(), ";") + 1; n != len(tt.want) {
				t.Errorf("%d problems, want %d: %v", n, len(tt.want), err)
			}
		})
	}
}
