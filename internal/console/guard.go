package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"reconciler/internal/operator"
)

// policy is the Content-Security-Policy of every answer: nothing inline, nothing from elsewhere.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxBody bounds a form.
const maxBody = 64 << 10

// guardRequests does for every request what does not depend on its page.
func (c *Console) guardRequests(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(c.handleVisit(func(v *visit) error {
		return v.refuseRequest(http.StatusForbidden, v.t("refused_title"), v.t("cross_origin"), "")
	}, nil))
	protected := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Vary", "Accept-Language, Cookie")
		ctx, cancel := context.WithTimeout(r.Context(), requestPatience)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if c.isForeignHost(r) {
			c.handleVisit(func(v *visit) error {
				return v.refuseRequest(http.StatusMisdirectedRequest, v.t("refused_title"), v.t("bad_host"), "")
			}, nil).ServeHTTP(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// isForeignHost reports a request under another machine's name where nobody has to log in. A page
// of another site can give its own name the address 127.0.0.1 (DNS rebinding), and would read the
// console.
func (c *Console) isForeignHost(r *http.Request) bool {
	if !c.Loopback {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return !isLoopbackHost(strings.Trim(host, "[]"))
}

// visit is one request of one person.
type visit struct {
	operator.Locale

	c    *Console
	w    http.ResponseWriter
	r    *http.Request
	user *session // nil: nobody has logged in

	refused refusal
}

func (v *visit) ctx() context.Context { return v.r.Context() }

func (v *visit) t(key string, args ...any) string { return v.Word(key, args...) }

// desk is where this person asks and acts.
func (v *visit) desk() *operator.Desk {
	d := v.c.Desk
	d.Locale = v.Locale
	if v.user != nil {
		d.Actor = v.user.name
	}
	return &d
}

// handleVisit calls a page for a person who may see it, in the person's language.
func (c *Console) handleVisit(page func(*visit) error, allowed func(*visit) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{c: c, w: w, r: r, Locale: operator.Locale{Lang: c.languageOf(r), Zone: c.Desk.Zone}, user: c.sessionOf(r)}
		if v.switchLanguage() {
			return
		}
		if allowed != nil && !allowed(v) {
			return
		}
		if err := page(v); err != nil {
			v.failRequest(err)
		}
	})
}

// maySee sends people to the log-in page who have to log in first.
func (c *Console) maySee(v *visit) bool {
	if c.Loopback || v.user != nil {
		return true
	}
	http.Redirect(v.w, v.r, "/login?to="+url.QueryEscape(v.r.URL.RequestURI()), http.StatusSeeOther)
	return false
}

// mayAct refuses people who may not act.
func (c *Console) mayAct(v *visit) bool {
	switch {
	case !c.Actions:
		_ = v.refuseRequest(http.StatusForbidden, v.t("refused_title"), v.t("read_only"), "")
	case v.user == nil:
		http.Redirect(v.w, v.r, "/login?to="+url.QueryEscape(objectOf(v.r.URL.Path)), http.StatusSeeOther)
	case v.user.role != RoleOperator:
		_ = v.refuseRequest(http.StatusForbidden, v.t("refused_title"), v.t("forbidden"), "")
	default:
		return true
	}
	return false
}

// objectOf is the page of what an action is about.
func objectOf(path string) string { return path[:strings.LastIndex(path, "/")] }

// showObject leads from the address of an action to the page of what it is about.
func showObject(v *visit) error {
	http.Redirect(v.w, v.r, objectOf(v.r.URL.Path), http.StatusSeeOther)
	return nil
}

// isOperator reports whether the person is offered actions.
func (v *visit) isOperator() bool { return v.c.Actions && v.user != nil && v.user.role == RoleOperator }

// failRequest answers with an error that no page has handled.
func (v *visit) failRequest(err error) {
	switch {
	case errors.Is(err, context.Canceled):
		return // nobody waits for the answer
	case errors.Is(err, operator.ErrNoOrder):
		_ = v.refuseRequest(http.StatusNotFound, v.t("error"), v.t("not_found_order"), "")
		return
	}
	if words := v.Refusal(err); words != "" {
		_ = v.refuseRequest(http.StatusBadRequest, v.t("error"), words, strings.TrimSuffix(v.r.URL.Path, ".csv"))
		return
	}
	v.c.Logger.LogAttrs(v.ctx(), slog.LevelWarn, "page cannot be shown", slog.String("path", v.r.URL.Path), slog.Any("error", err))
	text := v.t("database_fails")
	if operator.IsTooSlow(err) {
		text = v.t("too_slow")
	}
	_ = v.showPage(http.StatusServiceUnavailable, "message", v.t("error"), message{Tone: "bad", Text: text, Detail: err.Error()})
}

// message is a page that says one thing.
type message struct{ Tone, Text, Detail, Back string }

// refuseRequest answers with a reason.
func (v *visit) refuseRequest(status int, title, text, back string) error {
	return v.showPage(status, "message", title, message{Tone: "bad", Text: text, Back: back})
}

// noRoute answers what no pattern takes: a page that there is not, or a method that a page has not.
func (c *Console) noRoute(mux *http.ServeMux, v *visit) error {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		other := v.r.Clone(v.ctx())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return c.noPage(v)
	}
	if !c.maySee(v) {
		return nil
	}
	v.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return v.refuseRequest(http.StatusMethodNotAllowed, v.t("error"), v.t("wrong_method"), "")
}

func (c *Console) noPage(v *visit) error {
	if c.maySee(v) {
		return v.refuseRequest(http.StatusNotFound, v.t("error"), v.t("not_found_page"), "")
	}
	return nil
}
