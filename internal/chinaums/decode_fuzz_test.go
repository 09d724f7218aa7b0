package chinaums

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// An amount reads back as an independent exact check reads it, and no body makes decoding panic or
// lose its rules.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, "1e2")
	}
	for _, amount := range []string{"100.0", "-0", "1e-3", "0.1e300", "9223372036854775807", "9223372036854775808", "1e999999999", "0e1"} {
		f.Add([]byte(`{"status":"A","status":"B"}`), amount)
	}
	f.Fuzz(func(t *testing.T, body []byte, amount string) {
		var a Answer
		if err := a.decodeBody(body, newSecretScan()); (err == nil) != isObject(body) {
			t.Errorf("error %v", err)
		}
		if s := a.Trade.Status; s.Err != nil && s.Value != "" || s.Present && s.Err == nil && s.Value == "" {
			t.Errorf("status %+v", s)
		}
		if json.Valid([]byte(amount)) && bearable(amount) {
			checkAmount(t, amount)
		}
	})
}

func isObject(body []byte) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal(body, &o) == nil && o != nil
}

// bearable reports whether a JSON value is a number whose exponent big numbers can bear.
func bearable(s string) bool {
	s = strings.TrimSpace(s)
	_, exponent, ok := splitExponent(s)
	return ok && exponent > -1000 && exponent < 1000 && strings.Trim(s, "0123456789.eE+-") == ""
}

func checkAmount(t *testing.T, amount string) {
	want, whole := exactAmount(strings.TrimSpace(amount))
	for _, form := range []string{amount, strconv.Quote(strings.TrimSpace(amount))} {
		got, err := decoded(`{"totalAmount":` + form + `}`)
		f := got.Trade.TotalAmount
		if err != nil || f.Value != want || !f.Present || (f.Err == nil) != whole {
			t.Errorf("%s: got %+v, %v; want %d, %t", form, f, err, want, whole)
		}
	}
}
