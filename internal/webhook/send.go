package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"reconciler/internal/store"
)

const (
	maxAnswerRead = 64 << 10
	maxAnswerKept = 1 << 10
	secretPrefix  = "whsec_"
	// minSecretSize is what the scheme asks for, in bytes.
	minSecretSize = 24
)

// CheckURL refuses an address to which events must not be sent. The error continues a sentence that
// begins with the setting's name. Plain http is for this machine, unless insecure.
func CheckURL(address string, insecure bool) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("cannot be read as a URL") // the error would repeat it, and it may hold a password
	case (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return errors.New("must begin with https:// and name a host")
	case !hasGoodPort(u):
		return errors.New("must have a port from 1 to 65535, or none")
	case u.Scheme == "http" && !insecure && !IsLoopback(u.Hostname()):
		return fmt.Errorf("is plain http to %s, so anybody in between could read and change events: "+
			"use https, or --insecure-http for a test network", u.Hostname())
	}
	return nil
}

func hasGoodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// IsLoopback reports whether a host is this machine, so that plain http to it is safe.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// CheckSecret refuses a secret that cannot be used: it is base64, as a rule behind "whsec_". The
// warning is not empty where the secret is shorter than the scheme asks for.
func CheckSecret(secret string) (warning string, err error) {
	if _, err := newKey(secret); err != nil {
		return "", err
	}
	if len(strings.TrimPrefix(secret, secretPrefix)) < base64.StdEncoding.EncodedLen(minSecretSize) {
		warning = fmt.Sprintf("the webhook secret is short: use at least %d random bytes in base64", minSecretSize)
	}
	return warning, nil
}

func newKey(secret string) (*standardwebhooks.Webhook, error) {
	key, err := standardwebhooks.NewWebhook(secret)
	if err != nil || strings.TrimPrefix(secret, secretPrefix) == "" {
		return nil, errors.New("the webhook secret must be random bytes in base64, as a rule behind " + secretPrefix)
	}
	return key, nil
}

// sender makes the requests.
type sender struct {
	url    string
	key    *standardwebhooks.Webhook
	client *http.Client
	now    func() time.Time
}

func newSender(o Options) (*sender, error) {
	key, err := newKey(o.Secret)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("the URL cannot be read") // see CheckURL
	}
	// In capitals, localhost is no name of this machine for the library's choice of a proxy.
	address.Host = strings.ToLower(address.Host)
	transport := http.DefaultTransport.(*http.Transport).Clone() // the standard library's is one
	transport.MaxIdleConnsPerHost = maxInFlight
	transport.MaxResponseHeaderBytes = maxAnswerRead
	return &sender{url: address.String(), key: key, now: o.Now, client: &http.Client{
		Transport:     transport,
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// message is the body of a request.
type message struct {
	ID        int64           `json:"id"`
	Event     string          `json:"event"`
	CreatedAt time.Time       `json:"created_at"`
	Data      json.RawMessage `json:"data"`
}

// sendOnce makes one request. Only an answer of the 2xx class is a delivery.
func (s *sender) sendOnce(ctx context.Context, d store.Delivery) store.Attempt {
	attempt := store.Attempt{Delivery: d}
	response, err := s.postDelivery(ctx, d)
	if err != nil {
		attempt.Answer = s.inWords(err)
		return attempt
	}
	defer response.Body.Close()
	attempt.Status = response.StatusCode
	attempt.Delivered = response.StatusCode >= 200 && response.StatusCode <= 299
	if response.StatusCode == http.StatusSwitchingProtocols {
		return attempt // the timeout would not end a read of its connection
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerRead))
	attempt.Answer = beginningOf(string(body))
	if err != nil && !attempt.Delivered {
		attempt.Answer = s.inWords(err)
	}
	return attempt
}

func (s *sender) postDelivery(ctx context.Context, d store.Delivery) (*http.Response, error) {
	body, err := json.Marshal(message{ID: d.EventID, Event: d.Event, CreatedAt: inChina(d.CreatedAt), Data: json.RawMessage(d.Payload)})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	id, now := strconv.FormatInt(d.EventID, 10), s.now()
	signature, err := s.key.Sign(id, now, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "reconciler")
	request.Header.Set(standardwebhooks.HeaderWebhookID, id)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	// Present and empty, it is not sent: the client may repeat the request where a kept connection
	// was closed.
	request.Header["Idempotency-Key"] = nil
	return s.client.Do(request)
}

// inWords says what went wrong without the address, whose query may hold a password.
func (s *sender) inWords(err error) string {
	if os, ok := errors.AsType[net.Error](err); ok && os.Timeout() {
		return fmt.Sprintf("no answer within %s", s.client.Timeout)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return beginningOf(err.Error())
}

// beginningOf is what is kept of a text, without half a character at its end.
func beginningOf(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.ToValidUTF8(text[:min(len(text), maxAnswerKept)], "")
}

// inChina is the same time in the zone of the payload's times.
func inChina(at time.Time) time.Time { return at.In(time.FixedZone("", 8*60*60)) }
