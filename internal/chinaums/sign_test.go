package chinaums_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"reconciler/internal/chinaums"
)

// official are the credentials of the vendor's own signature example.
func official() chinaums.Credentials {
	return chinaums.Credentials{AppID: "12345678901234567890123456789012", AppKey: "67890123456789012345678901234567"}
}

const (
	officialTimestamp = "20170101120000"
	officialNonce     = "09876543210987654321098765432109"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSign(t *testing.T) {
	t.Parallel()
	small := chinaums.Credentials{AppID: "app", AppKey: "key"}
	tests := map[string]struct {
		credentials            chinaums.Credentials
		timestamp, nonce, body string
		want                   string
	}{
		"published":      {official(), officialTimestamp, officialNonce, "A", "GINsCTyNKTpEI9KXO16KqZJ64fOyAytEKl8aaR/Dy08="},
		"empty body":     {official(), officialTimestamp, officialNonce, "", "09jVthXayHXZd/9dUXA4ssmLDPM3AAv+G51W1tn2UhE="},
		"Chinese text":   {official(), officialTimestamp, officialNonce, `{"merName":"测试商户"}`, "LPznU0v4OYu3LPtnbuRQIz7WDOOoY/KhL5HhPoCSZ9k="},
		"sample request": {official(), officialTimestamp, officialNonce, string(readFile(t, "request.json")), "ZOO5UHjddbujbQGdjT8CEekZCmHM/4BRRzpVF4SRIw0="},
		"short inputs":   {small, "20260101120000", "abc", `{"a":1}`, "WX2XgYbmKfSNdTDpHyMjfXgBFpvgN/fQ5sw3WIiPJ/Q="},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := chinaums.Sign(tt.credentials, tt.timestamp, tt.nonce, []byte(tt.body)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTheKeyIsNeverShown(t *testing.T) {
	t.Parallel()
	credentials := chinaums.Credentials{AppID: "the-app", AppKey: "the-secret-key"}
	options := chinaums.Options{
		BaseURL: "https://gateway.example", Path: "/", Credentials: credentials, Timeout: time.Second, Concurrency: 1,
	}
	client, err := chinaums.New(options)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{"String": credentials.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %v"} {
		shown[verb] = fmt.Sprintf(verb, credentials)
		shown["options "+verb] = fmt.Sprintf(verb, options)
		shown["client "+verb] = fmt.Sprintf(verb, client)
		shown["client value "+verb] = fmt.Sprintf(verb, *client)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", slog.Any("credentials", credentials), slog.Any("options", options))
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", slog.Any("credentials", credentials), slog.Any("inside", []any{credentials}))
	shown["log"] = log.String()
	marshalled, err := json.Marshal(map[string]any{"value": credentials, "pointer": &credentials})
	if err != nil {
		t.Fatal(err)
	}
	shown["json"] = string(marshalled)
	for name, text := range shown {
		if strings.Contains(text, "the-secret-key") || strings.Contains(text, "7468652d736563726574") {
			t.Errorf("%s shows the key: %s", name, text)
		}
	}
	for _, name := range []string{"String", "%v", "%#v", "log", "json"} {
		if !strings.Contains(shown[name], "the-app") {
			t.Errorf("%s does not show the app id: %s", name, shown[name])
		}
	}
}

func TestChinaIsEightHoursAheadOfUTC(t *testing.T) {
	t.Parallel()
	got := time.Date(2026, 1, 1, 20, 0, 0, 0, time.UTC).In(chinaums.China())
	if s := got.Format(chinaums.TimestampLayout); s != "20260102040000" || chinaums.China().String() != "Asia/Shanghai" {
		t.Errorf("got %s in %s", s, chinaums.China())
	}
}
