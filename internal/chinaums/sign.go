package chinaums

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
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

// GoString shows what String shows.
func (c Credentials) GoString() string { return "chinaums.Credentials{" + c.String() + "}" }

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
	hash := sha256.Sum256(body)
	mac := hmac.New(sha256.New, []byte(c.AppKey))
	mac.Write([]byte(c.AppID + timestamp + nonce + hex.EncodeToString(hash[:])))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Authorization returns the value of the Authorization header in the documented form, which has no
// space after its commas.
func Authorization(c Credentials, timestamp, nonce string, body []byte) string {
	return fmt.Sprintf(`OPEN-BODY-SIG AppId="%s",Timestamp="%s",Nonce="%s",Signature="%s"`,
		c.AppID, timestamp, nonce, Sign(c, timestamp, nonce, body))
}
