package chinaums

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// TokenPath is where the gateway gives access tokens.
const TokenPath = "/v1/token/access"

const (
	codeToken  = "0000"   // the token endpoint's word for success
	codeAuth   = "1000"   // the platform does not know who asks: signature, token, or the form of a stamp
	authFailed = "认证失败"   // the platform's text for it, which comes with other codes too
	signMethod = "SHA256" // without it the endpoint still expects SHA-1
	maxToken   = 4 << 10  // bytes; a header has to hold it

	documentedLife = time.Hour      // of a token whose expiresIn cannot be read
	longestLife    = 24 * time.Hour // milliseconds instead of seconds would make it weeks
)

var (
	errNoToken       = errors.New("no access token")
	errBadToken      = errors.New("the gateway gave one that no header can carry")
	errTokenRefused  = errors.New("the gateway refused the access token; the next round trip brings a new one")
	errTokensRefused = errors.New("the gateway refused the access token, and the one before it")
)

// SignToken returns the signature of a request for an access token: lower-case hex of SHA-256 of
// appId + timestamp + nonce + appKey. Timestamp and nonce are as for Sign.
func SignToken(c Credentials, timestamp, nonce string) string {
	hash := sha256.Sum256([]byte(c.AppID + timestamp + nonce + c.AppKey))
	return hex.EncodeToString(hash[:])
}

// accessToken is a token as it is held. The zero value has ended.
type accessToken struct {
	appID           string
	secret          *string // tells tokens apart, too; behind a pointer no way of printing a Client shows it
	renewAt, endsAt time.Time
}

// newToken takes an answer of the token endpoint that said it is one. The life counts from before
// the question, so that what the round trip took never makes it longer.
func newToken(o object, appID string, asked time.Time) (accessToken, bool) {
	value := strings.Clone(o.textOf("accessToken").Value) // otherwise the token would keep the whole body in memory
	if !fitsHeader(value, `"\,`) || len(value) > maxToken {
		return accessToken{}, false
	}
	life := documentedLife
	if seconds := o.amountOf("expiresIn").Value; seconds > 0 {
		life = time.Duration(min(seconds, int64(longestLife/time.Second))) * time.Second
	}
	return accessToken{appID: appID, secret: &value, renewAt: asked.Add(life * 8 / 10), endsAt: asked.Add(life)}, true
}

// authorizeRequest is an authorizer. A token signs nothing.
func (t accessToken) authorizeRequest(string, string, []byte) string {
	return fmt.Sprintf(`OPEN-ACCESS-TOKEN AccessToken="%s", AppId="%s"`, *t.secret, t.appID)
}

// wireTokenRequest has the documents' key order.
type wireTokenRequest struct {
	AppID      string `json:"appId"`
	Timestamp  string `json:"timestamp"`
	Nonce      string `json:"nonce"`
	SignMethod string `json:"signMethod"`
	Signature  string `json:"signature"`
}

// fetchToken asks for a new token in one round trip. Its error is an *Error of ClassCredentials or
// ClassTransient: the other classes speak of an order or a merchant, and here none was asked about.
func (c *Client) fetchToken(ctx context.Context, credentials Credentials) (accessToken, error) {
	asked := c.now().In(China())
	request, signature, err := c.newTokenRequest(ctx, credentials, asked)
	if err != nil {
		return accessToken{}, noToken(&Error{Class: ClassTransient, Err: err})
	}
	got, err := c.roundTrip(request, false)
	got.endUse(false)
	o, _, notRead := readBody(got.body, c.scan())
	if err == nil {
		err = notRead
	}
	got.answer.readEnvelope(o)
	given := append(o.allTexts("accessToken"), signature)
	scan := c.scan().withParts(given...)
	got.answer.Code, got.answer.Message = scan.hideText(got.answer.Code), scan.hideText(got.answer.Message)
	class := classifyToken(got.answer)
	switch fresh, ok := newToken(o, credentials.AppID, asked); {
	case err != nil && class == "":
		return accessToken{}, noToken(got.newError(ClassTransient, scan.hideError(err)))
	case err != nil || class != "":
		return accessToken{}, noToken(got.newError(class, scan.hideError(err)))
	case !ok:
		return accessToken{}, noToken(got.newError(ClassTransient, errBadToken))
	default:
		return fresh, nil
	}
}

func (c *Client) newTokenRequest(
	ctx context.Context, credentials Credentials, now time.Time,
) (request *http.Request, signature string, err error) {
	nonce, err := c.newNonce()
	if err != nil {
		return nil, "", err
	}
	timestamp := now.Format(TimestampLayout)
	signature = SignToken(credentials, timestamp, nonce)
	body, err := compactJSON(wireTokenRequest{
		AppID:      credentials.AppID,
		Timestamp:  timestamp,
		Nonce:      nonce,
		SignMethod: signMethod,
		Signature:  signature,
	})
	if err != nil {
		return nil, "", fmt.Errorf("write the request for a token: %w", err)
	}
	request, err = newPost(ctx, c.tokenURL, body)
	return request, signature, err
}

// classifyToken is Classify for an answer of the token endpoint. A request that is refused as badly
// formed stops all questions until somebody acts, which is credential trouble.
func classifyToken(a Answer) Class {
	class := Classify(a.HTTPStatus, a.Code, false)
	switch {
	case a.HTTPStatus == http.StatusOK && a.Code == codeToken:
		return ""
	case failsAuth(a), class == ClassCredentials, class == ClassBadRequest:
		return ClassCredentials
	}
	return ClassTransient
}

// noToken says of an error that for its reason there is no token.
func noToken(e *Error) *Error {
	if e.Err == nil {
		e.Err = errNoToken
	} else {
		e.Err = fmt.Errorf("%w: %w", errNoToken, e.Err)
	}
	return e
}

// failsAuth reports whether the platform says that it does not know who asks. Clients in use go by
// the text, others by the status. Neither counts in an answer of an overloaded server in front of
// the platform, or of the business layer.
func failsAuth(a Answer) bool {
	switch {
	case isOverloaded(a.HTTPStatus):
		return false
	case a.HTTPStatus == http.StatusUnauthorized, a.Code == codeAuth:
		return true
	}
	return a.HTTPStatus != http.StatusOK && strings.Contains(a.Message, authFailed)
}
