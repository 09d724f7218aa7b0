package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"reconciler/internal/operator"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// pages are the templates in one language.
type pages struct{ *template.Template }

func parsePages(l operator.Locale) (*pages, error) {
	functions := template.FuncMap{
		"t":        l.Word,
		"num":      formatNumber,
		"yuan":     formatYuan,
		"stamp":    func(t any) string { return formatTime(l, t) },
		"age":      func(from, to time.Time) string { return l.Age(to.Sub(from)) },
		"orders":   l.CountOrders,
		"target":   l.Target,
		"who":      l.PersonName,
		"until":    l.UntilWhen,
		"thenWord": l.Then,
		"role":     func(r Role) string { return l.Word(string(r)) },
		"lasted": func(from time.Time, to *time.Time) string {
			if to == nil {
				return l.Age(time.Since(from))
			}
			return l.Age(to.Sub(from))
		},
	}
	parsed, err := template.New("pages").Funcs(functions).ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	return &pages{parsed}, nil
}

func formatNumber(n any) string {
	switch n := n.(type) {
	case int:
		return operator.FormatCount(n)
	case int64:
		return operator.FormatCount(n)
	}
	return fmt.Sprint(n)
}

func formatYuan(fen any) string {
	switch fen := fen.(type) {
	case int64:
		return operator.Yuan(fen)
	case *int64:
		if fen != nil {
			return operator.Yuan(*fen)
		}
	}
	return "–"
}

func formatTime(l operator.Locale, t any) string {
	switch t := t.(type) {
	case time.Time:
		return l.Stamp(t)
	case *time.Time:
		if t != nil {
			return l.Stamp(*t)
		}
	}
	return "–"
}

// toneClass is the class of a tone in the style sheet.
func toneClass(t operator.Tone) string {
	switch t {
	case operator.Good:
		return "good"
	case operator.Notice:
		return "notice"
	case operator.Warning:
		return "warning"
	case operator.Bad:
		return "bad"
	}
	return "plain"
}

// link is an entry of the navigation.
type link struct {
	Href, Word string
	Here       bool
}

// view is what every page is made from.
type view struct {
	Page, Title, Done, Version              string
	LangTag, OtherLang, OtherTag, OtherWord string
	At, Zone, User                          string
	Role                                    Role
	Reads, LogsIn, Refreshes                bool
	Nav                                     []link
	Data                                    any
	Refused                                 refusal
}

// showPage renders a page. A page that cannot be rendered is an error before anything is sent.
func (v *visit) showPage(status int, page, title string, data any) error {
	now := time.Now()
	if status == http.StatusOK && v.refused.status != 0 {
		status = v.refused.status
	}
	w := view{
		Page: page, Title: title, At: v.Stamp(now), Zone: v.ZoneName(now), Version: v.c.Version, Data: data, Refused: v.refused,
		LangTag: "en", OtherTag: "zh-CN", OtherWord: "中文",
		Reads: v.c.Loopback || v.user != nil, LogsIn: v.c.Users != nil,
		Refreshes: status == http.StatusOK && (page == "overview" || page == "gateway"),
	}
	other := "zh"
	if v.Lang == "zh" {
		w.LangTag, w.OtherTag, w.OtherWord, other = "zh-CN", "en", "English", "en"
	}
	w.OtherLang = v.languageLink(other)
	if v.user != nil {
		w.User, w.Role = v.user.name, v.user.role
	}
	for _, entry := range [][2]string{{"/", "overview"}, {"/orders", "orders_page"}, {"/review", "review_page"}, {"/gateway", "gateway"}, {"/events", "events"}, {"/audit", "audit"}} {
		here := v.r.URL.Path == entry[0] || (entry[0] != "/" && strings.HasPrefix(v.r.URL.Path, entry[0]+"/"))
		w.Nav = append(w.Nav, link{entry[0], v.t(entry[1]), here})
	}
	if done := v.r.URL.Query().Get("done"); status == http.StatusOK && done != "" {
		w.Done = v.doneWords(done)
	}
	var plain bytes.Buffer
	if err := v.c.pages[v.Lang].ExecuteTemplate(&plain, page, w); err != nil {
		v.c.Logger.LogAttrs(v.ctx(), slog.LevelError, "page cannot be rendered", slog.String("page", page), slog.Any("error", err))
		http.Error(v.w, "the page cannot be rendered", http.StatusInternalServerError)
		return nil
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Language", w.LangTag)
	v.w.WriteHeader(status)
	_, _ = v.w.Write(showInvisible(plain.Bytes())) // who has gone needs no page
	return nil
}

// languageLink is the same page in the other language. A page that answers a POST has no address.
func (v *visit) languageLink(lang string) string {
	query, page := v.r.URL.Query(), v.r.URL.Path
	if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
		query = nil
		if page != "/login" {
			page = objectOf(page)
		}
	}
	if query == nil {
		query = make(map[string][]string)
	}
	query.Set("lang", lang)
	query.Del("done")
	return localPath(page, query)
}

// showInvisible spells what people cannot see, such as marks that reorder text: foreign text must
// not look like something else.
func showInvisible(page []byte) []byte {
	invisible := func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }
	if !bytes.ContainsFunc(page, invisible) {
		return page
	}
	out := make([]byte, 0, len(page)+64)
	for _, r := range string(page) {
		if !invisible(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		spelled := strconv.QuoteRuneToGraphic(r)
		out = append(out, spelled[1:len(spelled)-1]...)
	}
	return out
}

// serveAsset serves an embedded file.
func (c *Console) serveAsset(v *visit) error {
	name := v.r.PathValue("name")
	content, err := assetFiles.ReadFile(path.Join("assets", path.Base(name)))
	if err != nil {
		return c.noPage(v)
	}
	v.w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	_, _ = v.w.Write(content)
	return nil
}
