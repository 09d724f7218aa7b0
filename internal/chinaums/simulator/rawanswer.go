package simulator

import (
	"fmt"
	"io"
	"net/http"
	"slices"
)

// sendRaw answers on the connection itself, where net/http would not let a handler misbehave so. It
// ends when the client leaves or the simulator is closed.
func (s *Simulator) sendRaw(w http.ResponseWriter, r *http.Request, a answer) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		abortRequest()
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-s.release:
		case <-ended:
		}
		_ = conn.Close()
	}()
	if a.Fault == FaultSwitching {
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_, _ = io.Copy(io.Discard, buffered)
		return
	}
	for a.Fault == FaultCloseAfter || a.Fault == FaultTwice || a.Fault == "" {
		text := a.rawBytes()
		if a.Fault == FaultTwice {
			text = slices.Concat(text, text)
		}
		if _, err := conn.Write(text); err != nil || a.Fault == FaultCloseAfter {
			return
		}
		next, err := http.ReadRequest(buffered.Reader)
		if err != nil {
			return
		}
		next.RemoteAddr = r.RemoteAddr
		body, _ := io.ReadAll(http.MaxBytesReader(nil, next.Body, maxRequest))
		a = s.answerRequest(newIncoming(next, body, s.currentTime()))
		if !s.waitFor(r.Context(), a.Delay) {
			return
		}
	}
}

// rawBytes is the answer as it goes over the wire.
func (a answer) rawBytes() []byte {
	text := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n",
		a.HTTPStatus, http.StatusText(a.HTTPStatus), a.contentType, len(a.body))
	if a.retryAfter != "" {
		text = fmt.Appendf(text, "Retry-After: %s\r\n", a.retryAfter)
	}
	return append(append(text, "\r\n"...), a.body...)
}
