package chinaums

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Auth is how questions say who asks.
type Auth string

// The ways. The endpoint's page documents the first; its samples use the second.
const (
	AuthBodySig     Auth = "body-sig"     // OPEN-BODY-SIG: every question is signed
	AuthAccessToken Auth = "access-token" // OPEN-ACCESS-TOKEN: all questions of a Client share a token of about an hour
)

func (a Auth) isKnown() bool { return a == "" || a == AuthBodySig || a == AuthAccessToken }

// Options configure a Client.
type Options struct {
	BaseURL     string           // https://api-mop.chinaums.com or the test gateway's; http or https, may hold a path
	Path        string           // of the query, /v1/netpay/wx/mini-pre-query; begins with a slash
	Credentials Credentials      // both parts are required
	Auth        Auth             // "" = AuthBodySig
	Timeout     time.Duration    // of one round trip, body included; above zero
	Concurrency int              // how many questions the caller keeps in flight, at least 1; as many idle connections are kept
	Now         func() time.Time // the clock of both stamps; nil = time.Now
	Rand        io.Reader        // the source of the nonces, safe for concurrent use; nil = crypto/rand.Reader
}

// New returns a Client, or an error that names everything that is wrong with the options at once:
// joined values of type [Problem].
func New(o Options) (*Client, error) {
	if err := o.findProblems(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	scan := newSecretScan(o.Credentials.AppKey)
	client := &Client{
		url:      o.urlOf(o.Path),
		tokenURL: o.urlOf(TokenPath),
		timeout:  o.Timeout,
		tooLate:  fmt.Errorf("the request timeout of %v passed", o.Timeout),
		now:      o.Now,
		rand:     o.Rand,
		kept:     o.newTransport(),
		fresh:    o.newTransport(),
		appID:    o.Credentials.AppID,
		scan:     func() *secretScan { return scan },
		sign:     newAuthorizer(o.Credentials),
	}
	client.fresh.DisableKeepAlives = true
	if o.Auth == AuthAccessToken {
		client.tokens = newTokenCache(client.now, func(ctx context.Context) (accessToken, error) {
			return client.fetchToken(ctx, o.Credentials)
		})
	}
	return client, nil
}

// urlOf is the address of a path. Its host is in lower case: the standard library takes no other
// localhost as this machine, and would send plain http through a proxy.
func (o Options) urlOf(path string) string {
	base, err := url.Parse(o.BaseURL)
	if err != nil {
		return "" // New refuses it
	}
	base.Host = strings.ToLower(base.Host)
	return strings.TrimSuffix(base.String(), "/") + path
}

// Problem says what is wrong with one field of the [Options]. The caller knows the name under which
// people set the field.
type Problem struct {
	Field string // of Options or Credentials
	Text  string // continues a sentence that begins with the field's name; it never holds a secret
}

// Error is the sentence.
func (p Problem) Error() string { return p.Field + " " + p.Text }

// Setting returns the parts, so that a caller can put its own name for the field.
func (p Problem) Setting() (field, text string) { return p.Field, p.Text }

func (o Options) findProblems() error {
	var problems []error
	refuse := func(bad bool, field, format string, args ...any) {
		if bad {
			problems = append(problems, Problem{field, fmt.Sprintf(format, args...)})
		}
	}
	goodPath := strings.HasPrefix(o.Path, "/") && isPlainURL("http://host"+o.Path)
	refuse(!isPlainURL(o.BaseURL), "BaseURL", "must be an http or https URL with a host, without spaces, user, query and fragment; its port, if any, from 1 to 65535")
	refuse(!goodPath, "Path", "must begin with a slash, without query and fragment, and be percent-encoded beyond ASCII, with %%20 for a space, not %q", o.Path)
	refuse(!fitsHeader(o.Credentials.AppID, `"\,`), "AppID", "must be given, without spaces, quotes, commas and control characters")
	refuse(!fitsHeader(o.Credentials.AppKey, ""), "AppKey", "must be given, without spaces and control characters")
	refuse(!o.Auth.isKnown(), "Auth", "must be %s or %s, not %q", AuthBodySig, AuthAccessToken, o.Auth)
	refuse(o.Timeout <= 0, "Timeout", "must be above zero, not %v", o.Timeout)
	refuse(o.Concurrency < 1, "Concurrency", "must be at least 1, not %d", o.Concurrency)
	return errors.Join(problems...)
}

func isPlainURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && hasGoodPort(u) &&
		strings.HasSuffix(s, u.EscapedPath()) && // as it will be sent
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && !strings.Contains(s, "#")
}

// hasGoodPort refuses a port that no server can have, which would else look like an outage.
func hasGoodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// fitsHeader reports whether a credential has a form that a header can carry. So a stray newline of
// a key file is found at start, and not in the gateway's refusals.
func fitsHeader(s, forbidden string) bool {
	bad := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(forbidden, r)
	}
	return s != "" && strings.IndexFunc(s, bad) < 0
}

// newTransport speaks HTTP/1.1 only, one question a connection: with HTTP/2 a single connection
// that silently died would stall all questions in flight.
func (o Options) newTransport() *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer((&net.Dialer{Timeout: o.Timeout}).DialContext).dialConnection,
		TLSHandshakeTimeout:    o.Timeout,
		MaxIdleConns:           o.Concurrency,
		MaxIdleConnsPerHost:    o.Concurrency,
		IdleConnTimeout:        30 * time.Second, // below the 60 s and more of common servers, so that rarely they close first
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              &protocols,
	}
}
