package chinaums

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
)

// Credentials name the developer account that asks. However they are printed, logged or marshalled,
// the key stays out.
type Credentials struct {
	AppID  string // public: it is sent in clear with every request
	AppKey string // secret: it never leaves the process
}

const hidden = "***"

// String shows the AppID only.
func (c Credentials) String() string {
	return fmt.Sprintf("AppID=%q AppKey=%s", c.AppID, hidden)
}

// Format writes the text of String with every verb. With String alone, a verb such as %d would
// print the fields.
func (c Credentials) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, c.String())
}

// LogValue shows the AppID only.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.String("app_id", c.AppID), slog.String("app_key", hidden))
}

// MarshalJSON shows the AppID only.
func (c Credentials) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"app_id": c.AppID, "app_key": hidden})
}

// Sign returns the OPEN-BODY-SIG signature of one request: base64 of HMAC-SHA256, with the AppKey,
// over appId + timestamp + nonce + lower-case hex of SHA-256 of the body. The timestamp is in
// TimestampLayout, China time; the nonce has at most 128 characters; the body is exactly the bytes
// that are sent. Method, path and headers are not covered.
func Sign(c Credentials, timestamp, nonce string, body []byte) string {
	return signWith(hmac.New(sha256.New, []byte(c.AppKey)), c.AppID, timestamp, nonce, body)
}

func signWith(mac hash.Hash, appID, timestamp, nonce string, body []byte) string {
	var sum [sha256.Size]byte
	digest := sha256.Sum256(body)
	signed := make([]byte, 0, 256)
	signed = append(append(append(signed, appID...), timestamp...), nonce...)
	mac.Write(hex.AppendEncode(signed, digest[:]))
	return base64.StdEncoding.EncodeToString(mac.Sum(sum[:0]))
}

// newAuthorizer makes values of the Authorization header, in the documented form, which has no
// space after its commas. The key is set up once for each question in flight.
func newAuthorizer(c Credentials) authorizer {
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(c.AppKey)) }}
	return func(timestamp, nonce string, body []byte) string {
		mac := macs.Get().(hash.Hash)
		defer macs.Put(mac)
		mac.Reset()
		return `OPEN-BODY-SIG AppId="` + c.AppID + `",Timestamp="` + timestamp + `",Nonce="` + nonce +
			`",Signature="` + signWith(mac, c.AppID, timestamp, nonce, body) + `"`
	}
}
