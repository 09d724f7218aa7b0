package simulator

import (
	"crypto/sha1" // what the endpoint expects of a request without signMethod
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"reconciler/internal/chinaums"
)

// The schemes of the Authorization header.
const (
	SchemeBodySig     = "OPEN-BODY-SIG"
	SchemeAccessToken = "OPEN-ACCESS-TOKEN"
)

const (
	defaultTokenLife = time.Hour
	maxTokens        = 10 // that live at once, of one app
	codeToken        = "0000"
)

// tokenPaths are where access tokens are given.
func tokenPaths() []string { return []string{chinaums.TokenPath, "/v2/token/access"} }

// grant is a token that was given to an app.
type grant struct {
	token string
	ends  time.Time
}

// tokens are those that may still live, by app id, oldest first.
type tokens struct {
	granted map[string][]grant
	count   int
}

func newTokens() *tokens { return &tokens{granted: map[string][]grant{}} }

// grantToken gives an app a new token. The oldest ends when there are too many.
func (t *tokens) grantToken(appID string, g grant) {
	live := append(t.granted[appID], g)
	t.granted[appID] = live[max(0, len(live)-maxTokens):]
}

// ownerOf returns the app that a token was given to, "" when it is not, or no longer, a token.
func (t *tokens) ownerOf(token string, now time.Time) string {
	for appID, live := range t.granted {
		if slices.ContainsFunc(live, func(g grant) bool { return g.token == token && now.Before(g.ends) }) {
			return appID
		}
	}
	return ""
}

// ExpireTokens ends all access tokens at once.
func (s *Simulator) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens.granted)
}

func (in *incoming) asksForToken() bool {
	return in.method == http.MethodPost && slices.Contains(tokenPaths(), in.path)
}

// tokenRequest is the body of a request for a token.
type tokenRequest struct {
	AppID      string `json:"appId"`
	Timestamp  string `json:"timestamp"`
	Nonce      string `json:"nonce"`
	SignMethod string `json:"signMethod"`
	Signature  string `json:"signature"`
}

// giveToken answers a request for a token.
func (s *Simulator) giveToken(in *incoming) reply {
	var q tokenRequest
	err := json.Unmarshal(in.body, &q)
	in.auth = authorization{AppID: q.AppID, Timestamp: q.Timestamp, Nonce: q.Nonce, Signature: q.Signature}
	sign := tokenSigner(q.SignMethod)
	if err != nil || sign == nil || slices.Contains([]string{q.AppID, q.Timestamp, q.Nonce, q.Signature}, "") {
		return reply{Step: Step{Code: "9001"}}
	}
	if refusal := s.checkSigned(in.auth, in.now, sign); refusal != nil {
		return reply{Step: *refusal}
	}
	return reply{Step: Step{Code: codeToken}, token: s.grantToken(q.AppID, in.now), tokenLife: s.opts.TokenLife}
}

func (s *Simulator) grantToken(appID string, now time.Time) string {
	s.tokens.count++
	hash := sha256.Sum256(fmt.Appendf(nil, "%d|token|%s|%d", s.opts.Seed, appID, s.tokens.count))
	const length = 16
	token := hex.EncodeToString(hash[:length])
	s.tokens.grantToken(appID, grant{token, now.Add(s.opts.TokenLife)})
	return token
}

// tokenSigner returns what signs a request for a token, nil for a method that the endpoint does not
// know.
func tokenSigner(method string) func(authorization, chinaums.Credentials) string {
	switch method {
	case "SHA256":
		return func(a authorization, app chinaums.Credentials) string {
			return chinaums.SignToken(app, a.Timestamp, a.Nonce)
		}
	case "", "SHA1":
		return func(a authorization, app chinaums.Credentials) string {
			hash := sha1.Sum([]byte(app.AppID + a.Timestamp + a.Nonce + app.AppKey))
			return hex.EncodeToString(hash[:])
		}
	}
	return nil
}

// bearer is the content of an Authorization header that has a token.
type bearer struct {
	Token, AppID string
}

// String returns the documented form.
func (b bearer) String() string {
	return fmt.Sprintf(`%s AccessToken="%s", AppId="%s"`, SchemeAccessToken, b.Token, b.AppID)
}

// parseBearer reads the forms that clients are known to send: the token alone and bare, as older
// documents have it, or quoted and with the app id. Spaces may stand around names, values and
// commas; names come in any order and case.
func parseBearer(header string) (b bearer, ok bool) {
	rest, ok := strings.CutPrefix(header, SchemeAccessToken+" ")
	if !ok {
		return bearer{}, false
	}
	for parameter := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(parameter, "=")
		field := b.fieldNamed(strings.ToLower(strings.TrimSpace(name)))
		if field == nil || *field != "" {
			return bearer{}, false
		}
		if *field, ok = unquotedText(strings.TrimSpace(value)); !ok {
			return bearer{}, false
		}
	}
	return b, b.Token != ""
}

func (b *bearer) fieldNamed(name string) *string {
	switch name {
	case "accesstoken":
		return &b.Token
	case "appid":
		return &b.AppID
	}
	return nil
}

// unquotedText takes a value with both quotes or with none.
func unquotedText(s string) (string, bool) {
	if inner, ok := strings.CutPrefix(s, `"`); ok {
		s, ok = strings.CutSuffix(inner, `"`)
		return s, ok && !strings.Contains(s, `"`)
	}
	return s, !strings.Contains(s, `"`)
}

// checkToken wants a token that lives and, where the header names an app, is that app's.
func (s *Simulator) checkToken(in *incoming) *Step {
	b, ok := parseBearer(in.header)
	owner := s.tokens.ownerOf(b.Token, in.now)
	if !ok || owner == "" || b.AppID != "" && b.AppID != owner || s.opts.StrictHeader && b.String() != in.header {
		return refuseAuth(authFailed)
	}
	in.auth.AppID = owner
	return nil
}
