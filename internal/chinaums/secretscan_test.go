package chinaums_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
)

// echoes are answers that repeat a secret, each in another place.
func echoes(secret string) map[string]string {
	in := func(format string) string { return strings.ReplaceAll(format, "SECRET", secret) }
	quoted, _ := json.Marshal(`{"a":"` + strings.ReplaceAll(secret, `"`, `\"`) + `"}`)
	return map[string]string{
		"message":     in(`{"errCode":"9999","errMsg":"bad SECRET"}`),
		"info":        in(`{"errCode":"1000","errInfo":"SECRET is wrong"}`),
		"code":        in(`{"errCode":"SECRET"}`),
		"status":      in(`{"errCode":"SUCCESS","status":"SECRET"}`),
		"booked text": in(`{"errCode":"SUCCESS","status":"TRADE_SUCCESS","bankInfo":"0SECRET"}`),
		"number":      in(`{"errCode":"SUCCESS","merOrderId":"SECRET","targetOrderId":"SECRET"}`),
		"key":         in(`{"errCode":"SUCCESS","SECRET":1}`),
		"key twice":   in(`{"errCode":"SUCCESS","a":1,"a":"SECRET"}`),
		"deep":        in(`{"errCode":"SUCCESS","a":[{"b":"SECRET"}]}`),
		"nested":      `{"errCode":"SUCCESS","billPayment":` + string(quoted) + `}`,
		"HTML":        in(`<html>SECRET</html>`),
		"cut off":     in(`{"errCode":"SUCCESS","a":"SECRET`),
		"redirect":    in(`to SECRET`),
	}
}

// shownOf is everything that anybody could keep of a round trip.
func shownOf(answer chinaums.Answer, err error) string {
	return fmt.Sprintf("%+v %s %v %+v", answer, answer.Redacted, err, err)
}

// wantNone checks that no secret is shown, and no minPart characters of it.
func wantNone(t *testing.T, name, shown string, secrets ...string) {
	t.Helper()
	if !strings.Contains(shown, "[withheld: ") {
		t.Errorf("%s: nothing withheld: %s", name, shown)
	}
	for _, secret := range secrets {
		for i := range len(secret) - 7 {
			if strings.Contains(shown, secret[i:i+8]) {
				t.Errorf("%s: shows %s: %s", name, secret[i:i+8], shown)
				return
			}
		}
	}
}

func TestEchoedHeaderIsWithheld(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]func(header string) string{
		"header":              func(h string) string { return strings.ReplaceAll(h, `"`, `\"`) },
		"header, URL":         func(h string) string { return strings.NewReplacer(`"`, "%22", "+", "%2B", "/", "%2F").Replace(h) },
		"8 of the signature":  func(h string) string { return h[len(h)-12 : len(h)-4] },
		"end of signature":    func(h string) string { return h[len(h)-9 : len(h)-1] },
		"start of signature":  func(h string) string { _, s, _ := strings.Cut(h, `Signature="`); return s[:8] },
		"part of the nonce":   func(h string) string { _, s, _ := strings.Cut(h, `Nonce="`); return s[5:14] },
		"escaped, every char": func(h string) string { return escapeAll(h[len(h)-20 : len(h)-2]) },
	} {
		for place := range echoes("") {
			var header string
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				header = r.Header.Get("Authorization")
				if place == "redirect" {
					w.Header().Set("Location", "/"+strings.Trim(part(header), `\`))
					w.WriteHeader(http.StatusFound)
				}
				_, _ = w.Write([]byte(echoes(part(header))[place]))
			})
			answer, err := newClient(t, testOptions(server.URL)).Query(t.Context(), validRequest())
			_, values, _ := strings.Cut(header, "Nonce=")
			nonce, signature := strings.Split(values, `"`)[1], strings.Split(values, `"`)[3]
			wantNone(t, name+" in "+place, shownOf(answer, err), nonce, signature, escapeAll(signature)[:20])
		}
	}
}

func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\u%04x`, s[i])
	}
	return b.String()
}

func TestEchoedKeyAndTokenAreWithheld(t *testing.T) {
	t.Parallel()
	const token = "eyJ0b2tlbiI6.abc-DEF_123"
	for place := range echoes("") {
		for _, secret := range []string{official().AppKey, token, token[3:11], "x" + token} {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == chinaums.TokenPath {
					_, _ = w.Write([]byte(`{"errCode":"0000","accessToken":"` + token + `"}`))
					return
				}
				_, _ = w.Write([]byte(echoes(secret)[place]))
			})
			o := testOptions(server.URL)
			o.Auth = chinaums.AuthAccessToken
			answer, err := newClient(t, o).Query(t.Context(), validRequest())
			wantNone(t, secret+" in "+place, shownOf(answer, err), token, official().AppKey)
		}
	}
}

// The endpoint of tokens must not leak what it gives, what it was sent, or the key.
func TestTokenEndpointEchoes(t *testing.T) {
	t.Parallel()
	const token = "eyJ0b2tlbiI6.abc-DEF_123"
	for name, echo := range map[string]func(g *tokenGateway) string{
		"key":           func(*tokenGateway) string { return official().AppKey },
		"token":         func(*tokenGateway) string { return token },
		"part of token": func(*tokenGateway) string { return token[5:13] },
		"signature": func(g *tokenGateway) string {
			var sent struct{ Signature string }
			_ = json.Unmarshal([]byte(g.tokens[0]), &sent)
			return sent.Signature[10:20]
		},
	} {
		g, client := serveTokens(t)
		g.onToken = func() response {
			body := `{"errCode":"7777","errInfo":"refused: ` + echo(g) + `","accessToken":"` + token + `"}`
			return response{412, body}
		}
		answer, err := client.Query(t.Context(), validRequest())
		wantClass(t, err, chinaums.ClassTransient)
		wantNone(t, name, shownOf(answer, err), token, official().AppKey, echo(g))
	}
}

// A broken answer's line ends up in the error of net/http.
func TestEchoInABrokenHeaderIsWithheld(t *testing.T) {
	t.Parallel()
	var header string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Get("Authorization")
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer connection.Close()
		_, _ = buffer.WriteString(header + "\r\n\r\n")
		_ = buffer.Flush()
	})
	answer, err := newClient(t, testOptions(server.URL)).Query(t.Context(), validRequest())
	wantClass(t, err, chinaums.ClassTransient)
	wantNone(t, "broken answer", shownOf(answer, err), strings.Split(header, `"`)[7])
}

// Words of the form, the app id and the time are no secrets: the gateway's messages and numbers
// hold them.
func TestOrdinaryTextsAreNotWithheld(t *testing.T) {
	t.Parallel()
	o := testOptions("")
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, chinaums.China())
	body := `{"errCode":"SUCCESS","status":"NEW_ORDER","errMsg":"Timestamp, Signature, OPEN-BODY-SIG, AppId=` + o.Credentials.AppID +
		`","merOrderId":"` + now.Format(chinaums.TimestampLayout) + `1234","bankInfo":"100% & C:\\users"}`
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
	o.BaseURL, o.Now = server.URL, func() time.Time { return now }
	answer, err := newClient(t, o).Query(t.Context(), validRequest())
	if err != nil || string(answer.Redacted) != body || answer.Trade.BankInfo.Value != `100% & C:\users` {
		t.Errorf("got %v, %s", err, answer.Redacted)
	}
}
