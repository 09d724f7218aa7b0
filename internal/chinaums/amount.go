package chinaums

import (
	"errors"
	"strconv"
	"strings"
)

// farExponent is beyond anything that the digits of a 1 MiB body could make up for.
const farExponent = 1 << 30

// parseAmount reads a whole, non-negative number of fen in any of the forms 100, 100.0 and 1e2,
// exactly: no floating point, and no work that grows with the exponent. Anything else is
// ErrNotAmount.
func parseAmount(s string) (int64, error) {
	unsigned, negative := strings.CutPrefix(s, "-")
	mantissa, exponent, ok := splitExponent(unsigned)
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	if !ok || !isDigits(whole) || hasPoint && !isDigits(fraction) {
		return 0, ErrNotAmount
	}
	digits := strings.TrimLeft(whole+fraction, "0")
	switch {
	case digits == "":
		return 0, nil // also -0 and 0e9
	case negative:
		return 0, ErrNotAmount
	}
	return shiftDigits(digits, exponent-len(fraction))
}

// splitExponent splits at the e; without one the exponent is 0. An exponent out of all bounds
// becomes ±farExponent.
func splitExponent(s string) (mantissa string, exponent int, ok bool) {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return s, 0, true
	}
	exponent, err := strconv.Atoi(s[i+1:])
	if errors.Is(err, strconv.ErrSyntax) {
		return "", 0, false
	}
	return s[:i], max(-farExponent, min(exponent, farExponent)), true
}

// shiftDigits returns digits × 10^shift. The digits have no leading zero.
func shiftDigits(digits string, shift int) (int64, error) {
	significant := strings.TrimRight(digits, "0")
	shift += len(digits) - len(significant)
	const longest = len("9223372036854775807")
	if shift < 0 || len(significant)+shift > longest {
		return 0, ErrNotAmount
	}
	n, err := strconv.ParseInt(significant+strings.Repeat("0", shift), 10, 64)
	if err != nil {
		return 0, ErrNotAmount
	}
	return n, nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
