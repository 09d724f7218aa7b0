package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const languageCookie = "reconciler_lang"

// languageOf is the language that the person has chosen, or that the browser prefers, or that of
// the settings.
func (c *Console) languageOf(r *http.Request) string {
	if cookie, err := r.Cookie(languageCookie); err == nil && isLanguage(cookie.Value) {
		return cookie.Value
	}
	return preferredLanguage(r.Header.Get("Accept-Language"), c.Desk.Lang)
}

func isLanguage(text string) bool { return text == "en" || text == "zh" }

// preferredLanguage is the first of our languages by weight; other is for a browser that wants
// neither.
func preferredLanguage(accept, other string) string {
	best, weight := other, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		tag, parameters, _ := strings.Cut(strings.TrimSpace(part), ";")
		language, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := 1.0
		if text, found := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q="); found {
			var err error
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				q = 0
			}
		}
		if isLanguage(language) && q > weight {
			best, weight = language, q
		}
	}
	if best != "zh" {
		return "en"
	}
	return best
}

// switchLanguage keeps the language that the address names in a cookie, and leads to the same page
// without it.
func (v *visit) switchLanguage() bool {
	query := v.r.URL.Query()
	lang := query.Get("lang")
	if v.r.Method != http.MethodGet || !isLanguage(lang) {
		return false
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: languageCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: isTLS(v.r),
	})
	query.Del("lang")
	http.Redirect(v.w, v.r, localPath(v.r.URL.Path, query), http.StatusSeeOther)
	return true
}

// localPath is a path of this server, whatever it begins with.
func localPath(path string, query url.Values) string {
	u := url.URL{Path: "/" + strings.TrimLeft(path, `/\`), RawQuery: query.Encode()}
	return u.String()
}

// isTLS reports whether the browser came by TLS, here or at the proxy in front.
func isTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// queryValues is the query of the address without what the database cannot take.
func (v *visit) queryValues() url.Values {
	query := v.r.URL.Query()
	for _, values := range query {
		for i, value := range values {
			values[i] = cleanText(value)
		}
	}
	return query
}

// formField is a field of a form without blanks around it.
func (v *visit) formField(name string) string {
	return strings.TrimSpace(cleanText(v.r.PostFormValue(name)))
}

func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
