package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"reconciler/internal/store"
)

// tellBreakers names the app ids whose orders the breaker kept back, with its cause. A dry run
// stores no pause, so there the log alone has the cause.
func (c *runOnceCommand) tellBreakers(p *process, orders *store.Store, appIDs []string) {
	if len(appIDs) == 0 {
		return
	}
	pauses, _ := orders.Controls(context.WithoutCancel(p.ctx)) // the app ids are worth telling without
	for _, appID := range appIDs {
		cause := ""
		for _, pause := range pauses {
			if pause.Scope == store.ScopeApp && pause.Key == appID && pause.PausedUntil != nil {
				until := pause.PausedUntil.In(c.People.locale(p.getenv).Zone).Format(time.RFC3339)
				cause = ", paused until " + until + ": " + visibleText(pause.Reason)
			}
		}
		fmt.Fprintf(p.stderr, "reconciler: the gateway fails or refuses the credentials of app id %s%s. Its other orders stay due.\n", appID, cause)
	}
}

// maxToldMerchants bounds the sentences about paused merchants.
const maxToldMerchants = 5

// tellPausedMerchants names the merchants whose orders the run left. Of named orders the report
// tells.
func (c *runOnceCommand) tellPausedMerchants(p *process, orders *store.Store, named *account) error {
	if c.DespitePause || len(named.list) > 0 || p.ctx.Err() != nil {
		return nil
	}
	controls, err := orders.Controls(p.ctx)
	if err != nil {
		return err
	}
	controls = slices.DeleteFunc(controls, func(held store.Control) bool {
		return held.Scope != store.ScopeMerchant || c.MID != "" && held.Key != string(c.MID)
	})
	if len(controls) == 0 {
		return nil
	}
	open, err := orders.OpenMerchants(p.ctx)
	if err != nil {
		return err
	}
	told := 0
	for _, held := range controls {
		at := slices.IndexFunc(open, func(m store.OpenMerchant) bool { return m.MID == held.Key && m.Waiting > 0 })
		if at < 0 {
			continue
		}
		if told++; told > maxToldMerchants {
			fmt.Fprintln(p.stderr, "reconciler: more merchants are paused: see reconciler pauses.")
			return nil
		}
		by := "a person"
		if held.SetBy == store.Breaker {
			by = "the circuit breaker"
		}
		fmt.Fprintf(p.stderr, "reconciler: merchant %s is paused by %s; its open orders (%d) wait. --despite-pause asks them too.\n", held.Key, by, open[at].Waiting)
	}
	return nil
}
