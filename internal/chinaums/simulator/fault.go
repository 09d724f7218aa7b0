package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is what happens to an answer on its way.
type Fault string

// The faults. Some need no body and replace whatever the step would answer; the others do something
// to it.
const (
	FaultHang        Fault = "hang"         // no answer, until the client leaves or the simulator is closed
	FaultReset       Fault = "reset"        // TCP reset
	FaultClose       Fault = "close"        // connection closed without an answer
	FaultTruncated   Fault = "truncated"    // connection closed in the middle of the body
	FaultSlowHeader  Fault = "slow-header"  // the header drips
	FaultSlowBody    Fault = "slow-body"    // the body drips
	FaultEmpty       Fault = "empty"        // HTTP 200 with nothing in it
	FaultHTML404     Fault = "html-404"     // page of something in front of the gateway
	FaultHTML502     Fault = "html-502"     // the same
	FaultHTML503     Fault = "html-503"     // the same
	FaultHTML504     Fault = "html-504"     // the same
	FaultOversize    Fault = "oversize"     // the right body and more than 1 MiB of padding in it
	FaultRawTab      Fault = "raw-tab"      // the right body and a text with a tab that is not escaped, so it is no JSON
	FaultContentType Fault = "content-type" // the right body, labelled text/html
	FaultRedirect    Fault = "redirect"     // HTTP 307, or the step's HTTPStatus, to RedirectPath
	FaultSwitching   Fault = "http-101"     // HTTP 101, and then nothing until the client leaves or the simulator is closed
	FaultTwice       Fault = "twice"        // the right answer and the same once more, unasked; the connection stays open
	FaultCloseAfter  Fault = "close-after"  // the right answer, then the connection is closed, which the answer does not say
	FaultRateLimit   Fault = "rate-limit"   // HTTP 429 (assumed: no real one is known; for one with HTTP 200 use a Code)
)

// RedirectPath is where FaultRedirect leads. Nothing is served there: Requests tells who followed,
// and with what.
const RedirectPath = "/simulator/redirected"

const (
	oversize    = 1<<20 + 1
	slowDefault = 30 * time.Second
	slowPieces  = 20
)

// Faults returns all faults.
func Faults() []Fault {
	return []Fault{
		FaultHang, FaultReset, FaultClose, FaultTruncated, FaultSlowHeader, FaultSlowBody, FaultEmpty,
		FaultHTML404, FaultHTML502, FaultHTML503, FaultHTML504, FaultOversize, FaultContentType, FaultRedirect, FaultRateLimit,
		FaultSwitching, FaultTwice, FaultCloseAfter, FaultRawTab,
	}
}

func (f Fault) isKnown() bool { return slices.Contains(Faults(), f) }

// replacesBody reports whether the fault needs no body.
func (f Fault) replacesBody() bool {
	switch f {
	case FaultHang, FaultReset, FaultClose, FaultEmpty, FaultRedirect, FaultSwitching:
		return true
	}
	return f.pageStatus() != 0
}

// pageStatus is the HTTP status of the faults that answer with a page.
func (f Fault) pageStatus() int {
	switch f {
	case FaultHTML404:
		return http.StatusNotFound
	case FaultHTML502:
		return http.StatusBadGateway
	case FaultHTML503:
		return http.StatusServiceUnavailable
	case FaultHTML504:
		return http.StatusGatewayTimeout
	case FaultRateLimit:
		return http.StatusTooManyRequests
	}
	return 0
}

// bendAnswer does to an answer what can be done before it goes out.
func (f Fault) bendAnswer(a *answer) {
	if f.replacesBody() {
		*a = answer{Answer: Answer{Fault: f, Delay: a.Delay}}
	}
	switch f {
	case FaultEmpty:
		a.HTTPStatus, a.contentType = http.StatusOK, contentJSON
	case FaultRedirect:
		a.HTTPStatus, a.location = http.StatusTemporaryRedirect, RedirectPath
	case FaultSwitching:
		a.HTTPStatus = http.StatusSwitchingProtocols
	case FaultContentType:
		a.contentType = contentHTML
	case FaultOversize:
		a.body = addMember(a.body, strings.Repeat("x", oversize))
	case FaultRawTab:
		a.body = addMember(a.body, "raw\ttab")
	}
	if status := f.pageStatus(); status != 0 {
		a.HTTPStatus, a.contentType = status, contentHTML
		a.body = fmt.Appendf(nil, "<html><head><title>%[1]d %[2]s</title></head><body><center><h1>%[1]d %[2]s</h1></center></body></html>\n",
			status, http.StatusText(status))
	}
}

// addMember adds a last member, so that what is read before a limit is like any answer.
func addMember(body []byte, text string) []byte {
	return fmt.Appendf(nil, `%s,"padding":"%s"}`, bytes.TrimSuffix(body, []byte("}")), text)
}

// sendAnswer waits, and lets the answer go out as its fault has it.
func (s *Simulator) sendAnswer(w http.ResponseWriter, r *http.Request, a answer) {
	slow := a.Fault == FaultSlowHeader || a.Fault == FaultSlowBody
	if !slow && !s.waitFor(r.Context(), a.Delay) {
		abortRequest()
	}
	switch a.Fault {
	case FaultHang:
		s.awaitTimer(r.Context(), nil)
		abortRequest()
	case FaultReset:
		resetConnection(w)
	case FaultClose:
		abortRequest()
	case FaultTruncated:
		a.writeHeader(w)
		_, _ = w.Write(a.body[:len(a.body)/2]) // a client that has left needs no more
	case FaultSlowHeader:
		s.dripHeader(w, r, a)
	case FaultSlowBody:
		s.dripBody(w, r, a)
	case FaultSwitching, FaultTwice, FaultCloseAfter:
		s.sendRaw(w, r, a)
	default:
		a.writeHeader(w)
		_, _ = w.Write(a.body) // the same
	}
}

// abortRequest ends the connection without another byte.
func abortRequest() { panic(http.ErrAbortHandler) }

// waitFor reports whether the time passed before the client left or the simulator was closed.
func (s *Simulator) waitFor(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	return s.awaitTimer(ctx, timer.C)
}

// awaitTimer waits without end if timer is nil. A timer set very far ahead would make a test's
// clock jump.
func (s *Simulator) awaitTimer(ctx context.Context, timer <-chan time.Time) bool {
	select {
	case <-timer:
		return true
	case <-ctx.Done():
		return false
	case <-s.release:
		return false
	}
}

func (a answer) writeHeader(w http.ResponseWriter) {
	if a.contentType != "" {
		w.Header().Set("Content-Type", a.contentType)
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.HTTPStatus)
}

// resetConnection closes the connection so that the client's kernel reports a reset, not an end.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		abortRequest()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // then it is closed with an end, which is as bad for the client
	}
	_ = conn.Close()
}

// dripHeader writes to the connection itself: the server would write a header only in one piece.
func (s *Simulator) dripHeader(w http.ResponseWriter, r *http.Request, a answer) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		abortRequest()
	}
	defer func() { _ = conn.Close() }()
	header := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		a.HTTPStatus, http.StatusText(a.HTTPStatus), a.contentType, len(a.body))
	if s.dripPieces(r.Context(), a.Delay, header, conn.Write) {
		_, _ = conn.Write(a.body) // a client that has left needs no more
	}
}

func (s *Simulator) dripBody(w http.ResponseWriter, r *http.Request, a answer) {
	a.writeHeader(w)
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		abortRequest()
	}
	whole := s.dripPieces(r.Context(), a.Delay, a.body, func(piece []byte) (int, error) {
		n, err := w.Write(piece)
		return n, errors.Join(err, flush())
	})
	if !whole {
		abortRequest()
	}
}

// dripPieces writes in pieces, spread over that time, and reports whether all went out.
func (s *Simulator) dripPieces(ctx context.Context, over time.Duration, text []byte, write func([]byte) (int, error)) bool {
	if over == 0 {
		over = slowDefault
	}
	pieces := slices.Collect(slices.Chunk(text, max(1, (len(text)+slowPieces-1)/slowPieces)))
	for _, piece := range pieces {
		if !s.waitFor(ctx, over/time.Duration(len(pieces))) {
			return false
		}
		if _, err := write(piece); err != nil {
			return false
		}
	}
	return true
}
