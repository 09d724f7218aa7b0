package console

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	sessionCookie = "reconciler_session"
	sessionAge    = 12 * time.Hour
)

// session is one log-in.
type session struct {
	name  string
	role  Role
	hash  string // of the password that it was begun with
	began time.Time
}

// sessions are the log-ins that have not ended. Only the hash of a token is kept.
type sessions struct {
	mu   sync.Mutex
	byID map[[sha256.Size]byte]session
}

func newSessions() *sessions { return &sessions{byID: make(map[[sha256.Size]byte]session)} }

// beginSession returns the token of a new session.
func (s *sessions) beginSession(u user) string {
	token := rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.byID {
		if time.Since(old.began) >= sessionAge {
			delete(s.byID, id)
		}
	}
	s.byID[sha256.Sum256([]byte(token))] = session{name: u.Name, role: u.Role, hash: u.Hash, began: time.Now()}
	return token
}

func (s *sessions) findSession(token string) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byID[sha256.Sum256([]byte(token))]
	return found, ok && time.Since(found.began) < sessionAge
}

func (s *sessions) endSession(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, sha256.Sum256([]byte(token)))
}

// sessionOf is the session of a request, with the role that the person has now. It is nil where
// there is none, or where the person is gone or has another password.
func (c *Console) sessionOf(r *http.Request) *session {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || c.Users == nil {
		return nil
	}
	found, ok := c.sessions.findSession(cookie.Value)
	if !ok {
		return nil
	}
	now, known := c.Users.findUser(found.name)
	if !known || now.Hash != found.hash {
		return nil
	}
	found.role = now.Role
	return &found
}

func (v *visit) setSession(token string, maxAge int) {
	http.SetCookie(v.w, &http.Cookie{
		Name: sessionCookie, Value: token, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: isTLS(v.r),
	})
}

// loginForm is what the log-in page shows.
type loginForm struct{ Text, Name, To string }

func (c *Console) showLogin(v *visit) error {
	if c.Users == nil {
		return c.noPage(v)
	}
	return v.showPage(http.StatusOK, "login", v.t("log_in"), loginForm{To: ownPath(v.r.FormValue("to"))})
}

func (c *Console) logIn(v *visit) error {
	if c.Users == nil {
		return c.noPage(v)
	}
	form := loginForm{Name: v.r.PostFormValue("name"), To: ownPath(v.r.PostFormValue("to"))}
	password := v.r.PostFormValue("password")
	succeeded, err := c.attempts.admitAttempt(v.ctx(), form.Name, addressOf(v.r))
	if refused, found := errors.AsType[tooManyError](err); found {
		form.Text = v.t("too_many", v.Age(refused.wait))
		v.w.Header().Set("Retry-After", refused.waitSeconds())
		return v.showPage(http.StatusTooManyRequests, "login", v.t("log_in"), form)
	} else if err != nil {
		return err
	}
	u, right := c.Users.checkPassword(form.Name, password)
	if !right {
		form.Text = v.t("wrong_password")
		return v.showPage(http.StatusUnauthorized, "login", v.t("log_in"), form)
	}
	succeeded()
	if old, err := v.r.Cookie(sessionCookie); err == nil {
		c.sessions.endSession(old.Value)
	}
	v.setSession(c.sessions.beginSession(u), int(sessionAge/time.Second))
	http.Redirect(v.w, v.r, form.To, http.StatusSeeOther)
	return nil
}

func (c *Console) logOut(v *visit) error {
	if cookie, err := v.r.Cookie(sessionCookie); err == nil {
		c.sessions.endSession(cookie.Value)
	}
	v.setSession("", -1)
	http.Redirect(v.w, v.r, "/", http.StatusSeeOther)
	return nil
}

// ownPath is the text where it is an address of this server, else the first page.
func ownPath(text string) string {
	if !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || strings.ContainsAny(text, "\\\r\n\t") {
		return "/"
	}
	return text
}

// addressOf is where a request came from: the proxy, where there is one.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
