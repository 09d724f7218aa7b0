package chinaums

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds an answer, in bytes. Real ones are below 4 KiB, most below usualBody, which is
// allocated at the start.
const (
	maxBody   = 1 << 20
	usualBody = 2 << 10
)

// closedBefore is what net/http says of a kept connection on which nothing was sent, because the
// gateway closed it first. It repeats such a request by itself only if any repetition were allowed;
// the error has no name that could be compared. A trace does not tell: it says that a request is
// written while it still is in a buffer.
const closedBefore = "http: server closed idle connection"

// maxRetryAfter is the longest time for which a gateway is left alone because it says so.
const maxRetryAfter = time.Hour

var (
	errOversize = fmt.Errorf("the body is longer than %d bytes", maxBody)
	errSwitched = errors.New("the gateway switches to another protocol")
)

// reply is what one round trip brought.
type reply struct {
	answer     Answer
	body       []byte // as received, at most maxBody
	alive      bool   // a JSON object begins in the body, and the gateway does not say that it is overloaded
	retryAfter *time.Duration
	date       string // of the HTTP header
	progress   *progress
}

// endUse gives the connection back, for good if it is out of step.
func (r reply) endUse(outOfStep bool) {
	if r.progress != nil && r.progress.connection != nil {
		r.progress.connection.endUse(r.progress.use, outOfStep)
	}
}

// roundTrip sends and reads. It goes to the transport and not through an http.Client, which would
// look into redirects: here a redirect is an answer like any other, and the Authorization header is
// never sent elsewhere. The request's context ends every read; of a 101, whose connection it would
// not end, nothing is read.
func (c *Client) roundTrip(request *http.Request, newConnection bool) (reply, error) {
	response, progress, err := c.sendRequest(request, newConnection)
	if err != nil {
		return reply{}, withCause(request.Context(), err)
	}
	defer response.Body.Close()
	r := reply{
		answer: Answer{HTTPStatus: response.StatusCode}, progress: progress,
		retryAfter: parseRetryAfter(response, c.now), date: response.Header.Get("Date"),
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return r, errSwitched
	}
	received := bytes.NewBuffer(make([]byte, 0, usualBody))
	_, err = received.ReadFrom(io.LimitReader(response.Body, maxBody+1))
	r.body = received.Bytes()[:min(received.Len(), maxBody)]
	r.alive = beginsObject(r.body) && !isOverloaded(response.StatusCode)
	switch {
	case err != nil:
		return r, withCause(request.Context(), err)
	case received.Len() > maxBody:
		return r, errOversize
	}
	return r, nil
}

// progress is where a request went.
type progress struct {
	connection *connection
	use        int // of the connection
}

func (p *progress) withTrace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			p.connection = connectionOf(got.Conn)
			p.use = p.connection.beginUse()
		},
	})
}

// sendRequest returns the beginning of an answer, and the connection that it came on. A kept
// connection may turn out to be closed before the request begins; only then is it sent once more,
// on a new one. The gateway has not seen it, so it counts as one.
func (c *Client) sendRequest(request *http.Request, newConnection bool) (*http.Response, *progress, error) {
	p := new(progress)
	ctx := p.withTrace(request.Context())
	transport := c.kept
	if newConnection {
		transport = c.fresh
	}
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil && err.Error() == closedBefore && ctx.Err() == nil {
		again := request.WithContext(ctx)
		if again.Body, err = request.GetBody(); err == nil {
			response, err = c.fresh.RoundTrip(again)
		}
	}
	return response, p, err
}

// beginsObject tells whether a body begins as a JSON object, however it goes on.
func beginsObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(withoutMark(body), " \t\r\n"), []byte("{"))
}

// withoutMark skips a UTF-8 byte order mark.
func withoutMark(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\uFEFF")) }

// parseRetryAfter returns how long an overloaded gateway asks to be left alone, at most
// maxRetryAfter. It is nil if the gateway does not say, or not in a way that can be read.
func parseRetryAfter(response *http.Response, now func() time.Time) *time.Duration {
	text := strings.TrimSpace(response.Header.Get("Retry-After"))
	if status := response.StatusCode; status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return nil
	}
	var wait time.Duration
	if isDigits(text) {
		wait = maxRetryAfter
		if seconds, err := strconv.Atoi(text); err == nil && seconds < int(maxRetryAfter/time.Second) {
			wait = time.Duration(seconds) * time.Second
		}
	} else if at, err := http.ParseTime(text); err == nil {
		wait = min(at.Sub(now()), maxRetryAfter)
	} else {
		return nil
	}
	if wait < 0 {
		return nil
	}
	return &wait
}

// withCause names the deadline that passed, or why the caller gave up, where that is what ended the
// round trip.
func withCause(ctx context.Context, err error) error {
	ended, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case ended == nil:
		return err
	case errors.Is(cause, ended):
		return cause
	}
	return fmt.Errorf("%w: %w", ended, cause)
}
