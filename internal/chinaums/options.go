package chinaums

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Options configure a Client.
type Options struct {
	BaseURL     string           // https://api-mop.chinaums.com or the test gateway's; http or https, may hold a path
	Path        string           // of the query, /v1/netpay/wx/mini-pre-query; begins with a slash
	Credentials Credentials      // both parts are required
	Timeout     time.Duration    // of one round trip, body included; above zero
	Concurrency int              // how many questions the caller keeps in flight, at least 1; as many idle connections are kept
	Now         func() time.Time // the clock of both stamps; nil = time.Now
	Rand        io.Reader        // the source of the nonces, safe for concurrent use; nil = crypto/rand.Reader
}

// New returns a Client, or an error that names everything that is wrong with the options at once.
func New(o Options) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Client{
		url:       o.url(),
		timeout:   o.Timeout,
		now:       defaultNow(o.Now),
		rand:      defaultRand(o.Rand),
		transport: o.transport(),
		authorize: func(timestamp, nonce string, body []byte) string {
			return Authorization(o.Credentials, timestamp, nonce, body)
		},
	}, nil
}

func (o Options) url() string { return strings.TrimSuffix(o.BaseURL, "/") + o.Path }

func (o Options) validate() error {
	var problems []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf("chinaums: "+format, args...))
		}
	}
	badPath := !strings.HasPrefix(o.Path, "/") || !plainURL("http://host"+o.Path)
	refuse(!plainURL(o.BaseURL), "BaseURL must be an http or https URL with a host, without user, query and fragment")
	refuse(badPath, "Path %q must begin with a slash, without query and fragment", o.Path)
	refuse(!token(o.Credentials.AppID, `"\,`), "AppID must be given, without spaces, quotes, commas and control characters")
	refuse(!token(o.Credentials.AppKey, ""), "AppKey must be given, without spaces and control characters")
	refuse(o.Timeout <= 0, "Timeout %v must be above zero", o.Timeout)
	refuse(o.Concurrency < 1, "Concurrency %d must be at least 1", o.Concurrency)
	return errors.Join(problems...)
}

func plainURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && !strings.Contains(s, "#")
}

// token reports whether a credential has a form that a header can carry, so that a stray newline of a key file is found at start
// and not in the gateway's refusals.
func token(s, forbidden string) bool {
	bad := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(forbidden, r)
	}
	return s != "" && strings.IndexFunc(s, bad) < 0
}

// transport speaks HTTP/1.1 only, one question a connection: with HTTP/2 a single connection that silently died would stall
// all questions in flight.
func (o Options) transport() *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: o.Timeout}).DialContext,
		TLSHandshakeTimeout:    o.Timeout,
		MaxIdleConns:           o.Concurrency,
		MaxIdleConnsPerHost:    o.Concurrency,
		IdleConnTimeout:        30 * time.Second, // below the 60 s and more of common servers, so that rarely they close first
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              &protocols,
	}
}
