// Package chinaums asks the gateway of ChinaUMS (银联商务) what became of one payment: POST
// {base}/v1/netpay/wx/mini-pre-query. It knows the protocol and nothing else: neither orders nor
// SQL, and no policy. One Query is one round trip with a fresh nonce and fresh stamps. The caller
// loops; an *Error's Class tells it whether that can help.
//
// With AuthAccessToken a Client has one access token for all its questions. The Query that finds it
// due brings a new one first: one request more, within the same timeout, about once in 48 minutes.
// Where none comes, the question is not sent. A refused token is not replaced within the Query;
// that is the caller's next round trip. The gateway keeps the latest ten tokens of an app id, so
// that more than ten Clients with the same one would end each other's: they are better off with
// AuthBodySig.
//
// An answer has two layers that must not be mixed up. The envelope (HTTP status, errCode) says
// whether the question was answered; only the trade status inside says anything about the payment.
// So an error is always an *Error, never a status, and Query's error is nil only for HTTP 200 with
// SUCCESS in one JSON object. The Answer is filled as far as it is known all the same: the caller
// must see a trade status that came with an error, to keep it as evidence.
//
// The body is untrusted: bounded to 1 MiB, and read key by key (see Field) so that one strange
// field costs that field alone. Answers are not signed: trust in them rests on TLS.
//
// Nothing that is secret leaves the package, wherever the gateway repeats it. The values of
// secretNames are masked. A text is withheld whole where it mentions one of those names. So is one
// that holds the app key, the access token, or a part of the header that was sent. This holds for
// Answer.Redacted, for every text of an Answer and its Trade, and for the text of an Error.
package chinaums

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Client asks the gateway. It is safe for concurrent use.
type Client struct {
	url      string
	tokenURL string
	timeout  time.Duration
	tooLate  error // the cause of an end by timeout
	now      func() time.Time
	rand     io.Reader
	kept     *http.Transport // keeps connections
	fresh    *http.Transport // opens one for each question
	// sign holds the credentials, as tokens does; inside a function no way of printing a Client
	// shows them.
	sign   authorizer
	tokens *tokenCache // nil with AuthBodySig
	appID  string
	scan   func() *secretScan // for the app key and the secret names
}

// authorizer returns the Authorization header of one question.
type authorizer func(timestamp, nonce string, body []byte) string

// Query asks about one order in exactly one round trip, without any retry; the round trip that
// brings a token for all is not counted. The error is nil if and only if HTTP 200, SUCCESS and one
// JSON object came. Else it is an *Error, and the Answer holds what is known. A cancelled context
// and a passed timeout are ClassTransient and wrap context.Canceled or context.DeadlineExceeded.
//
// An answer that names another merchant or another order shows that its connection is out of step.
// Query closes the connection; the caller asks again with Request.NewConnection before it believes
// such an answer.
func (c *Client) Query(ctx context.Context, r Request) (Answer, error) {
	if err := r.Validate(); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, c.tooLate)
	defer cancel()
	if c.tokens == nil {
		return c.askOnce(ctx, r, c.sign)
	}
	token, err := c.tokens.get(ctx)
	if err != nil {
		return answerTo(err), err
	}
	answer, err := c.askOnce(ctx, r, token.authorizeRequest)
	return answer, c.tokens.onAnswer(token, answer, err)
}

// askOnce is the round trip of the question itself.
func (c *Client) askOnce(ctx context.Context, r Request, authorize authorizer) (Answer, error) {
	request, scan, err := c.newRequest(ctx, r, authorize)
	if err != nil {
		return Answer{}, &Error{Class: ClassTransient, Err: err}
	}
	got, err := c.roundTrip(request, r.NewConnection)
	if notDecoded := got.answer.decodeBody(got.body, scan); err == nil {
		err = notDecoded
	}
	got.endUse(r.contradictsTrade(got.answer.Trade))
	if err != nil {
		return got.answer, got.newError(ClassTransient, scan.hideError(err))
	}
	class := Classify(got.answer.HTTPStatus, got.answer.Code, got.answer.Trade.HasStatus())
	switch {
	case class == "":
		return got.answer, nil
	case got.answer.Code == codeClock:
		err = got.clockError(c.now())
	}
	return got.answer, got.newError(class, err)
}

// Close closes the idle connections. Questions in flight go on.
func (c *Client) Close() { c.kept.CloseIdleConnections() }

// newRequest stamps, signs and wraps a question. The scan that it returns also finds parts of the
// question's header.
func (c *Client) newRequest(ctx context.Context, r Request, authorize authorizer) (*http.Request, *secretScan, error) {
	now := c.now().In(China())
	nonce, err := c.newNonce()
	if err != nil {
		return nil, nil, err
	}
	body, err := r.wireBody(now)
	if err != nil {
		return nil, nil, fmt.Errorf("write the question: %w", err)
	}
	request, err := newPost(ctx, c.url, body)
	if err != nil {
		return nil, nil, err
	}
	timestamp := now.Format(TimestampLayout)
	header := authorize(timestamp, nonce, body)
	request.Header.Set("Authorization", header)
	return request, c.scan().withParts(headerSecrets(header, c.appID, timestamp)...), nil
}

// newPost wraps a body in a request. It has no Idempotency-Key, so that the transport never repeats
// what it has begun to send, and the caller's count of round trips holds.
func newPost(ctx context.Context, url string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "reconciler")
	return request, nil
}

// newNonce returns 32 hex digits, new for every round trip.
func (c *Client) newNonce() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(c.rand, b[:]); err != nil {
		return "", fmt.Errorf("no random bytes for the nonce: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// answerTo returns what an error knows of the answer, where no token came and so no question was
// sent.
func answerTo(err error) Answer {
	trouble, ok := errors.AsType[*Error](err)
	if !ok {
		return Answer{}
	}
	return Answer{HTTPStatus: trouble.HTTPStatus, Code: trouble.Code, Message: trouble.Message}
}
