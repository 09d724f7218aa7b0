package simulator

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"strings"
	"time"

	"reconciler/internal/chinaums"
)

const (
	maxNonce      = 128
	codeAuth      = "1000"
	authFailed    = "认证失败"
	stampUnparsed = "Timestamp解析失败"
)

var errHeader = errors.New("not an OPEN-BODY-SIG header")

// authorization is the Authorization header's content.
type authorization struct {
	AppID, Timestamp, Nonce, Signature string
}

// String returns the documented form.
func (a authorization) String() string {
	return fmt.Sprintf(`%s AppId="%s",Timestamp="%s",Nonce="%s",Signature="%s"`, SchemeBodySig, a.AppID, a.Timestamp, a.Nonce, a.Signature)
}

// parseAuthorization reads the forms that clients are known to send: one or more spaces after the
// scheme, commas with or without spaces around them, names in any order and case. Each of the four
// has to be there once.
func parseAuthorization(header string) (authorization, error) {
	var a authorization
	rest, ok := strings.CutPrefix(header, SchemeBodySig+" ")
	if !ok {
		return a, errHeader
	}
	seen := map[string]bool{}
	for more := true; more; {
		name, value, after, ok := cutParameter(rest)
		field := a.fieldNamed(name)
		if !ok || field == nil || seen[strings.ToLower(name)] {
			return authorization{}, errHeader
		}
		seen[strings.ToLower(name)] = true
		*field = value
		after = strings.TrimLeft(after, " ")
		if rest, more = strings.CutPrefix(after, ","); !more && after != "" {
			return authorization{}, errHeader
		}
	}
	if len(seen) != 4 {
		return authorization{}, errHeader
	}
	return a, nil
}

// cutParameter splits Name="value" off, which spaces may precede.
func cutParameter(s string) (name, value, rest string, ok bool) {
	name, quoted, ok := strings.Cut(strings.TrimLeft(s, " "), `="`)
	if !ok {
		return "", "", "", false
	}
	value, rest, ok = strings.Cut(quoted, `"`)
	return name, value, rest, ok
}

func (a *authorization) fieldNamed(name string) *string {
	switch strings.ToLower(name) {
	case "appid":
		return &a.AppID
	case "timestamp":
		return &a.Timestamp
	case "nonce":
		return &a.Nonce
	case "signature":
		return &a.Signature
	}
	return nil
}

func refuseAuth(message string) *Step {
	return &Step{Code: codeAuth, Message: message}
}

// checkAuthorization runs before anything reads the body as JSON.
func (s *Simulator) checkAuthorization(in *incoming) *Step {
	if in.authScheme() == SchemeAccessToken {
		return s.checkToken(in)
	}
	return s.checkSignature(in)
}

func (s *Simulator) checkSignature(in *incoming) *Step {
	a, err := parseAuthorization(in.header)
	if err != nil || s.opts.StrictHeader && a.String() != in.header {
		return refuseAuth(authFailed)
	}
	return s.checkSigned(a, in.now, func(a authorization, app chinaums.Credentials) string {
		return chinaums.Sign(app, a.Timestamp, a.Nonce, in.body)
	})
}

// checkSigned looks at the form of the Timestamp before the signature over it.
func (s *Simulator) checkSigned(a authorization, now time.Time, sign func(authorization, chinaums.Credentials) string) *Step {
	stamp, err := parseStamp(chinaums.TimestampLayout, a.Timestamp)
	if err != nil {
		return refuseAuth(stampUnparsed)
	}
	app, known := s.apps[a.AppID]
	goodNonce := a.Nonce != "" && len([]rune(a.Nonce)) <= maxNonce
	if !known || !goodNonce || !hmac.Equal([]byte(a.Signature), []byte(sign(a, app))) || !s.isFresh(a, stamp, now) {
		return refuseAuth(authFailed)
	}
	return nil
}

// isFresh applies the two checks that are our assumptions.
func (s *Simulator) isFresh(a authorization, stamp, now time.Time) bool {
	if s.opts.AuthWindow > 0 && now.Sub(stamp).Abs() > s.opts.AuthWindow {
		return false
	}
	return !s.opts.NonceReplay || s.nonces.useNonce(a.AppID+"|"+a.Nonce)
}

func (s *Simulator) checkEntitlement(in *incoming) *Step {
	if s.notEntitled[in.auth.AppID] {
		return &Step{Code: "1001"}
	}
	return nil
}

// parseStamp reads a time of China, and only in the layout's exact form.
func parseStamp(layout, text string) (time.Time, error) {
	t, err := time.ParseInLocation(layout, text, chinaums.China())
	if err == nil && t.Format(layout) != text {
		return t, fmt.Errorf("%q is not of the form %q", text, layout)
	}
	return t, err
}

// nonces remembers the latest nonces.
type nonces struct {
	known map[string]bool
	order ring[string]
}

func newNonces(keep int) *nonces {
	return &nonces{known: map[string]bool{}, order: ring[string]{size: keep}}
}

// useNonce reports whether the nonce is new.
func (n *nonces) useNonce(nonce string) bool {
	if n.known[nonce] {
		return false
	}
	n.known[nonce] = true
	if forgotten, full := n.order.pushItem(nonce); full {
		delete(n.known, forgotten)
	}
	return true
}
