package console

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/order"
)

// preview is the second page of an action: before, after, and the form that confirms.
type preview struct {
	Title, Action, Back, Button, Digest string
	Fields                              []operator.Field
	Event, Held                         string
	Again                               bool
	Actor, Reason, Evidence             string
	Hidden                              []column
}

// deed is an action that was prepared from a form.
type deed struct {
	preview

	do func() (done int64, err error)
}

// previewOrDo shows a deed, or does it where the form repeats the digest of what was shown.
func (v *visit) previewOrDo(back string, keys []string, prepare func() (deed, error)) error {
	if v.formField("reason") == "" {
		return v.showForm(http.StatusBadRequest, v.t("refused_title"), v.t("no_reason"))
	}
	d, err := prepare()
	if err != nil {
		return v.refuseDeed(err, back)
	}
	shown := v.formField("shown")
	if shown == "" {
		d.Back, d.Action, d.Actor, d.Reason, d.Evidence = back, v.r.URL.Path, v.user.name, v.formField("reason"), v.formField("evidence")
		for _, key := range keys {
			if text := v.formField(key); text != "" && !d.hasHidden(key) {
				d.Hidden = append(d.Hidden, column{key, text})
			}
		}
		return v.showPage(http.StatusOK, "preview", d.Title, d.preview)
	}
	if shown != d.Digest {
		return v.refuseDeed(operator.ErrStale, back)
	}
	id, err := d.do()
	if err != nil {
		return v.refuseDeed(err, back)
	}
	query := v.r.URL.Query()
	query.Set("done", strconv.FormatInt(id, 10))
	http.Redirect(v.w, v.r, localPath(back, query), http.StatusSeeOther)
	return nil
}

// hasHidden reports whether a hidden field is there already.
func (p preview) hasHidden(key string) bool {
	for _, field := range p.Hidden {
		if field.Name == key {
			return true
		}
	}
	return false
}

// refuseDeed tells why nothing was written. What a person can put right is told beside the form.
func (v *visit) refuseDeed(err error, back string) error {
	words := v.Refusal(err)
	switch {
	case errors.Is(err, operator.ErrNoOrder):
		return err
	case operator.IsStale(err):
		return v.showForm(http.StatusConflict, v.t("stale_title"), words)
	case operator.IsPausedByOther(err):
		return v.showForm(http.StatusConflict, v.t("refused_title"), words)
	case words != "":
		return v.showForm(http.StatusUnprocessableEntity, v.t("refused_title"), words)
	case operator.IsUnavailable(err):
		return err
	}
	v.c.Logger.LogAttrs(v.ctx(), slog.LevelWarn, "action failed", slog.String("path", v.r.URL.Path), slog.Any("error", err))
	m := message{Tone: "bad", Text: v.t("by_database"), Detail: err.Error(), Back: back}
	return v.showPage(http.StatusUnprocessableEntity, "message", v.t("refused_title"), m)
}

// refusal is why a form was refused, with what a person had typed into it.
type refusal struct {
	Title, Text string

	status int
	form   string // resolve, retry, pause, resume
	fields url.Values
}

// Is reports whether that form was refused.
func (r refusal) Is(form string) bool { return r.form == form }

// Typed is what stood in a field of that form.
func (r refusal) Typed(form, field string) string {
	if !r.Is(form) {
		return ""
	}
	return strings.ReplaceAll(cleanText(r.fields.Get(field)), "\r\n", "\n")
}

// showForm shows the page of the object again, as it is now, with the form filled in as it was.
func (v *visit) showForm(status int, title, text string) error {
	object := objectOf(v.r.URL.Path)
	v.refused = refusal{Title: title, Text: text, status: status, form: v.r.URL.Path[len(object)+1:], fields: v.r.PostForm}
	if object == "/gateway" {
		return v.c.showGateway(v)
	}
	return v.c.showOrder(v)
}

func (c *Console) resolveOrder(v *visit) error {
	name, err := v.pathOrder()
	if err != nil {
		return err
	}
	back := "/orders/" + strconv.FormatInt(name.ID, 10)
	keys := []string{"as", "amount", "accept_amount", "refund_amount", "pay_time", "settle_date", "evidence", "reason"}
	return v.previewOrDo(back, keys, func() (deed, error) {
		r, err := v.formResolution()
		if err != nil {
			return deed{}, err
		}
		desk := v.desk()
		s, err := desk.PrepareResolve(v.ctx(), name, r)
		if err != nil {
			return deed{}, err
		}
		return deed{
			preview: preview{
				Title: v.t("resolve_title", fmt.Sprintf("#%d", name.ID)), Button: v.t("do_resolve"), Digest: s.Digest(), Fields: s.Fields(v.Locale),
				Event: s.Event(), Again: s.Again(),
			},
			do: func() (int64, error) {
				change, err := desk.Resolve(v.ctx(), s)
				return change.ActionID, err
			},
		}, nil
	})
}

// formResolution reads the form.
func (v *visit) formResolution() (operator.Resolution, error) {
	r := operator.Resolution{As: order.Status(v.formField("as")), AcceptAmount: v.formField("accept_amount") == "true", Reason: v.formField("reason"), Evidence: v.formField("evidence")}
	var errs []error
	for key, target := range map[string]**int64{"amount": &r.Amount, "refund_amount": &r.RefundAmount} {
		if text := v.formField(key); text != "" {
			fen, err := operator.Amount(text)
			errs = append(errs, err)
			*target = &fen
		}
	}
	if text := v.formField("pay_time"); text != "" {
		at, err := operator.ParseTime(text, v.Zone)
		r.PayTime, errs = &at, append(errs, err)
	}
	if text := v.formField("settle_date"); text != "" {
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			err = operator.RefuseInput("bad_day", text)
		}
		r.SettleDate, errs = &day, append(errs, err)
	}
	return r, errors.Join(errs...)
}

func (c *Console) retryOrder(v *visit) error {
	name, err := v.pathOrder()
	if err != nil {
		return err
	}
	back := "/orders/" + strconv.FormatInt(name.ID, 10)
	keys := []string{"tid", "inst_mid", "mer_order_id", "target_order_id", "reason"}
	return v.previewOrDo(back, keys, func() (deed, error) {
		desk := v.desk()
		correction := operator.Correction{TID: v.formField("tid"), InstMID: v.formField("inst_mid"), MerOrderID: v.formField("mer_order_id"), TargetOrderID: v.formField("target_order_id")}
		r, err := desk.PrepareRetry(v.ctx(), name, correction, v.formField("reason"))
		if err != nil {
			return deed{}, err
		}
		return deed{
			preview: preview{Title: v.t("retry_title", fmt.Sprintf("#%d", name.ID)), Button: v.t("do_retry"), Digest: r.Digest(), Fields: r.Fields(v.Locale)},
			do: func() (int64, error) {
				change, err := desk.RetryShown(v.ctx(), r)
				return change.ActionID, err
			},
		}, nil
	})
}

// pauseTarget reads what a pause is about.
func (v *visit) pauseTarget() (operator.Scope, string, error) {
	scope, key := operator.Scope(v.formField("scope")), v.formField("key")
	if (scope != operator.ScopeApp && scope != operator.ScopeMerchant) || key == "" {
		return "", "", operator.RefuseInput("bad_target")
	}
	return scope, key, nil
}

func (c *Console) startPause(v *visit) error {
	keys := []string{"scope", "key", "until", "replace", "reason"}
	return v.previewOrDo("/gateway", keys, func() (deed, error) {
		scope, key, err := v.pauseTarget()
		if err != nil {
			return deed{}, err
		}
		desk := v.desk()
		plan, err := desk.PreparePause(v.ctx(), operator.PauseRequest{
			Scope: scope, Key: key, Until: v.formField("until"), Reason: v.formField("reason"), Replace: v.formField("replace") == "true", AppIDs: c.AppIDs,
		})
		if err != nil {
			return deed{}, err
		}
		d := v.pauseDeed(desk, plan, "pause_title", "do_pause")
		if plan.Until != nil { // an age counts from the first page on
			d.Hidden = append(d.Hidden, column{"until", plan.Until.Format(time.RFC3339)})
		}
		return d, nil
	})
}

func (c *Console) endPause(v *visit) error {
	keys := []string{"scope", "key", "reason"}
	return v.previewOrDo("/gateway", keys, func() (deed, error) {
		scope, key, err := v.pauseTarget()
		if err != nil {
			return deed{}, err
		}
		desk := v.desk()
		plan, err := desk.PrepareResume(v.ctx(), scope, key, v.formField("reason"))
		if err != nil {
			return deed{}, err
		}
		return v.pauseDeed(desk, plan, "resume_title", "do_resume"), nil
	})
}

func (v *visit) pauseDeed(desk *operator.Desk, plan operator.PausePlan, title, button string) deed {
	return deed{
		preview: preview{
			Title: v.t(title, v.Target(plan.Scope, plan.Key)), Button: v.t(button), Digest: plan.Digest(), Fields: plan.Fields(v.Locale),
			Held: v.CountOrders(plan.Held.Orders) + ", " + operator.Yuan(plan.Held.AmountFen),
		},
		do: func() (int64, error) {
			change, err := desk.DoPause(v.ctx(), plan)
			return change.ActionID, err
		},
	}
}
