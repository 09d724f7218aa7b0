package operator_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler/internal/operator"
	"reconciler/internal/store"
)

// Every error that an action makes has words for a page, in both languages. What wraps another
// error has those of that one.
func TestEveryRefusalHasWords(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	refused := 0
	for _, name := range []string{"resolve.go", "retry.go", "pausing.go", "pause_plan.go", "locale.go", "times.go", "audit.go"} {
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		inWords := make(map[ast.Node]bool)
		ast.Inspect(file, func(n ast.Node) bool {
			if decl, ok := n.(*ast.FuncDecl); ok && decl.Name.Name == "Retry" {
				return false // several orders at once: of the command line alone
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				_, isFunc := n.(*ast.FuncDecl)
				_, isVar := n.(*ast.GenDecl)
				return isFunc || !isVar
			}
			if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "refuse" || id.Name == "refuseUsage") {
				inWords[call.Args[0]] = true
				refused++
			}
			if makesError(call) && !inWords[call] {
				t.Errorf("%s: this error has no words for a page: give it to refuse", files.Position(call.Pos()))
			}
			return true
		})
	}
	if refused < 15 {
		t.Errorf("%d refusals were found", refused)
	}
}

// makesError reports an error of its own: one that wraps none, or only a mark such as ErrUsage.
func makesError(call *ast.CallExpr) bool {
	fun, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, _ := fun.X.(*ast.Ident)
	switch {
	case pkg == nil:
		return false
	case pkg.Name == "errors" && fun.Sel.Name == "New":
		return true
	case pkg.Name != "fmt" || fun.Sel.Name != "Errorf":
		return false
	}
	format, ok := call.Args[0].(*ast.BasicLit)
	if !ok || !strings.Contains(format.Value, "%w") {
		return true
	}
	marks := []string{"ErrUsage", "ErrStale", "ErrNoOrder"}
	return slices.ContainsFunc(call.Args[1:], func(arg ast.Expr) bool {
		id, ok := arg.(*ast.Ident)
		return ok && slices.Contains(marks, id.Name)
	})
}

// A page says each refusal of a joined error once, in its language, and nothing of a failure.
func TestRefusalInWords(t *testing.T) {
	t.Parallel()
	chinese, english := operator.Locale{Lang: "zh", Zone: time.UTC}, operator.Locale{Lang: "en", Zone: time.UTC}
	_, bad := operator.Amount("x")
	_, past := operator.ParseUntil("2020-01-01", time.Now(), time.UTC)
	flight := &store.InFlightError{ClaimedBy: "web-1/7", Until: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}
	pause := &store.PausedError{Control: store.Control{Scope: store.ScopeMerchant, Key: mid, Reason: "ticket 812", SetBy: "li"}}
	for name, tt := range map[string]struct {
		err    error
		zh, en string
	}{
		"joined":      {errors.Join(bad, past), `金额格式应如 1290.50，而不是 "x"。 2020-01-01 已经过去。`, `An amount must be such as 1290.50, not "x". 2020-01-01 has passed.`},
		"in flight":   {errors.Join(flight), "web-1/7 正在查询此订单，最迟至 2026-11-26 09:00:00。请在查询结束后重试。", "in flight, by web-1/7, until 2026-11-26 09:00:00"},
		"of another":  {pause, "他人设置的暂停仍在生效：商户 " + mid + " 由 li 暂停，直至有人恢复：ticket 812。如需替换，请勾选相应选项。", "Tick the box"},
		"changed":     {store.ErrChanged, "所显示的内容已被", "has changed meanwhile"},
		"a failure":   {errors.New("no room"), "", ""},
		"of an input": {operator.RefuseInput("bad_day", "x"), "日期格式应如", "A day must be such as"},
	} {
		zh, en := chinese.Refusal(tt.err), english.Refusal(tt.err)
		if !strings.Contains(zh, tt.zh) || !strings.Contains(en, tt.en) || (tt.zh == "") != (zh == "") {
			t.Errorf("%s: %q and %q", name, zh, en)
		}
	}
	if err := operator.RefuseInput("bad_day", "x"); !errors.Is(err, operator.ErrUsage) {
		t.Errorf("%v is no mistake of the person", err)
	}
}
