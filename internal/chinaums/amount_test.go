package chinaums

import (
	"errors"
	"math/big"
	"strings"
	"testing"
)

func TestParseAmount(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 1000)
	tests := map[string]int64{ // -1 = ErrNotAmount
		"0": 0, "-0": 0, "-0.0": 0, "0e999999999999999999999": 0, "-0e-5": 0, "000": 0, "0.000": 0,
		"1": 1, "100": 100, "100.0": 100, "100.000": 100, "1e2": 100, "1E2": 100, "1e+2": 100, "1.0e2": 100, "10000e-2": 100,
		"0100": 100, "0.1e3": 100, "1.5e1": 15, "1e00002": 100, "100e0": 100, "100e-0": 100,
		"100000000":              100000000,
		"9223372036854775807":    9223372036854775807,
		"9223372036854775807.0":  9223372036854775807,
		"922337203685477580.7e1": 9223372036854775807,
		"9e18":                   9000000000000000000,
		"1" + zeros + "e-1000":   1,
		"0." + zeros + "1e1001":  1,

		"9223372036854775808": -1, "1e19": -1, "1e999999999": -1, "1e-999999999": -1, "99e99999999999999999999": -1,
		"1e-99999999999999999999": -1, "1" + zeros: -1,
		"-1": -1, "-100": -1, "-1e2": -1, "0.5": -1, "100.5": -1, "1e-1": -1, "1.05e1": -1,
		"": -1, "-": -1, "+1": -1, "--1": -1, "1.": -1, ".5": -1, "1e": -1, "1e+": -1, "e5": -1, "1e5e5": -1, "1.0.0": -1, "1e1.0": -1,
		" 1": -1, "1 ": -1, "1,000": -1, "1_000": -1, "1e1_0": -1, "0x10": -1, "１００": -1, "NaN": -1, "Inf": -1, "true": -1, "一百": -1,
		"1\x00": -1, "1e٣": -1,
	}
	for s, want := range tests {
		got, err := parseAmount(s)
		switch {
		case want < 0 && !errors.Is(err, ErrNotAmount):
			t.Errorf("%.40q: got %d, %v, want ErrNotAmount", s, got, err)
		case want >= 0 && (err != nil || got != want):
			t.Errorf("%.40q: got %d, %v, want %d", s, got, err, want)
		}
	}
}

// exactAmount is an independent reading of a JSON number, for exponents that big numbers can bear.
func exactAmount(s string) (amount int64, whole bool) {
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.IsInt() || r.Sign() < 0 || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}
