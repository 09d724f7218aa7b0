package chinaums_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"reconciler/internal/chinaums"
)

// codes is the vendor's list as the contract classes it.
func codes() map[string]chinaums.Class {
	classes := map[chinaums.Class]string{
		chinaums.ClassNoOrder:     "NO_ORDER",
		chinaums.ClassProcessing:  "ORDER_PROCESSING",
		chinaums.ClassBadRequest:  "BAD_REQUEST 9001",
		chinaums.ClassCredentials: "1000 1001 BAD_SIGN INVALID_MSGSRC DENIED_IP ABNORMAL_REQUEST_TIME NO_SERVICE",
		chinaums.ClassMerchant:    "NO_MERCHANT INACTIVE_MERCHANT INVLID_MERCHANT_CONFIG",
		chinaums.ClassTransient:   "9200 9999 INTERNAL_ERROR TIMEOUT NET_ERROR TXN_DISCARDED INVALID_RESPONSE SYSTEM_BUSY",
	}
	all := map[string]chinaums.Class{}
	for class, list := range classes {
		for code := range strings.FieldsSeq(list) {
			all[code] = class
		}
	}
	return all
}

func TestClassifyKnownCodes(t *testing.T) {
	t.Parallel()
	for code, want := range codes() {
		for _, status := range []int{200, 201, 302, 400, 401, 404, 412} {
			for _, hasStatus := range []bool{false, true} {
				if got := chinaums.Classify(status, code, hasStatus); got != want {
					t.Errorf("HTTP %d, %s, status %t: got %s, want %s", status, code, hasStatus, got, want)
				}
			}
		}
		for _, status := range []int{429, 500, 502, 503, 504, 599} {
			if got := chinaums.Classify(status, code, false); got != chinaums.ClassTransient {
				t.Errorf("HTTP %d, %s, no status: got %s, want transient", status, code, got)
			}
			want := want
			if want != chinaums.ClassCredentials && want != chinaums.ClassMerchant {
				want = chinaums.ClassTransient
			}
			if got := chinaums.Classify(status, code, true); got != want {
				t.Errorf("HTTP %d, %s, a status: got %s, want %s", status, code, got, want)
			}
		}
	}
}

// Each class that an answer can have is in the list, once.
func TestClassesAreComplete(t *testing.T) {
	t.Parallel()
	listed := make(map[chinaums.Class]int)
	for _, class := range chinaums.Classes() {
		listed[class]++
	}
	want := map[chinaums.Class]int{chinaums.ClassUnknownCode: 1, chinaums.ClassNoCode: 1}
	for _, class := range codes() {
		want[class] = 1
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
}

func TestClassifyOtherCodes(t *testing.T) {
	t.Parallel()
	const unknown, transient = chinaums.ClassUnknownCode, chinaums.ClassTransient
	tests := []struct {
		status    int
		code      string
		hasStatus bool
		want      chinaums.Class
	}{
		{200, "SUCCESS", true, ""},
		{200, "SUCCESS", false, ""},
		{200, "", true, chinaums.ClassNoCode},
		{200, "", false, chinaums.ClassNoCode},
		{200, "TARGET_FAIL", false, unknown},
		{200, "TARGET_FAIL", true, transient},
		{200, "success", false, unknown},
		{200, "0000", false, unknown},
		{200, "INVALID_MERCHANT_CONFIG", false, unknown}, // the correct spelling is not the vendor's
		{201, "SUCCESS", true, transient},
		{404, "SUCCESS", true, transient},
		{404, "SUCCESS", false, transient},
		{302, "SUCCESS", false, transient},
		{500, "SUCCESS", true, transient},
		{404, "", true, transient},
		{412, "", false, transient},
		{503, "", true, transient},
		{412, "7777", false, unknown},
		{412, "7777", true, transient},
		{500, "7777", false, transient},
		{429, "7777", true, transient},
		{600, "7777", false, unknown},
	}
	for _, tt := range tests {
		if got := chinaums.Classify(tt.status, tt.code, tt.hasStatus); got != tt.want {
			t.Errorf("HTTP %d, %q, status %t: got %q, want %q", tt.status, tt.code, tt.hasStatus, got, tt.want)
		}
	}
}

func TestErrorSaysWhatHappened(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("错", 300)
	tests := map[string]struct {
		err  *chinaums.Error
		want string
	}{
		"business code": {
			&chinaums.Error{Class: chinaums.ClassNoOrder, HTTPStatus: 200, Code: "NO_ORDER", Message: "无法找到指定的订单"},
			`chinaums: no_order: HTTP 200, code "NO_ORDER", message "无法找到指定的订单"`,
		},
		"no code": {
			&chinaums.Error{Class: chinaums.ClassTransient, HTTPStatus: 502, Err: errors.New("the body is HTML")},
			`chinaums: transient: HTTP 502 without a readable code: the body is HTML`,
		},
		"nothing came": {
			&chinaums.Error{Class: chinaums.ClassTransient, Err: io.ErrUnexpectedEOF},
			`chinaums: transient: no answer: unexpected EOF`,
		},
		"not sent": {
			&chinaums.Error{Class: chinaums.ClassBadRequest, Err: errors.Join(errors.New("mid"), errors.New("tid"))},
			`chinaums: bad_request: not sent: mid; tid`,
		},
		"hostile": {
			&chinaums.Error{Class: chinaums.ClassUnknownCode, HTTPStatus: 200, Code: "A\x00\n", Message: long, Err: errors.New("x\x00\xff")},
			`chinaums: unknown_code: HTTP 200, code "A\x00\n", message "` + strings.Repeat("错", 200) + "…\": x\uFFFD\uFFFD",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tt.err.Error()
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.ContainsFunc(got, unicode.IsControl) {
				t.Error("holds a control character")
			}
			if !errors.Is(tt.err, tt.err.Err) && tt.err.Err != nil {
				t.Error("does not unwrap to its cause")
			}
		})
	}
	if got := chinaums.ClassNoCode.String(); got != "no_code" {
		t.Errorf("got %q", got)
	}
}
