package chinaums

import (
	"slices"
	"strings"
	"testing"
)

// The quick look takes samples. One of them must meet each secret, wherever it stands in a text.
func TestSecretIsFoundAtEachPlace(t *testing.T) {
	t.Parallel()
	scan := newSecretScan("app-key").withParts("0123456789abcdefGHIJ")
	for _, secret := range slices.Concat(secretNames(), []string{"app-key", "01234567", "6789abcd", "cdefghij"}) {
		for place := range 3 * minPart {
			text := strings.Repeat(".", place) + secret + strings.Repeat(".", place%gramLength)
			if !scan.holdsSecret(text) || !scan.holdsSecret(strings.ToUpper(text)) {
				t.Errorf("%q is not found in %q", secret, text)
			}
		}
	}
}

// The names of real fields begin as secret names do. To look closer at each of them, in every
// answer, takes as long as the samples themselves.
func TestRealFieldsNeedNoCloserLook(t *testing.T) {
	t.Parallel()
	scan := newSecretScan("app-key")
	for _, name := range []string{"bankInfo", "buyerCashPayAmt", "buyerId", "buyerPayAmount"} {
		if scan.mayHold(name) {
			t.Errorf("%s is looked at closer", name)
		}
	}
}
