package main

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"reconciler/internal/poller"
	"reconciler/internal/store"
)

// tellPauses names what the run left because it is paused.
func (c *runOnceCommand) tellPauses(p *process, orders *store.Store, run poller.Run, summary poller.Summary, named *account) {
	c.tellBreakers(p, orders, summary.PausedApps)
	for _, appID := range summary.HeldApps {
		p.tell("app id %s is paused by a person; its orders stay due. --despite-pause asks them too.", appID)
	}
	if err := c.tellPausedMerchants(p, orders, run, named); err != nil {
		p.tell("the orders of paused merchants could not be counted: %v", err)
	}
}

// tellBreakers names the app ids whose orders the breaker kept back, with its cause. A dry run
// stores no pause, so there the log alone has the cause.
func (c *runOnceCommand) tellBreakers(p *process, orders *store.Store, appIDs []string) {
	if len(appIDs) == 0 {
		return
	}
	pauses, _ := orders.Controls(context.WithoutCancel(p.ctx)) // the app ids are worth telling without
	for _, appID := range appIDs {
		cause := ""
		at := slices.IndexFunc(pauses, func(held store.Control) bool {
			return held.Scope == store.ScopeApp && held.Key == appID && held.PausedUntil != nil
		})
		if at >= 0 {
			until := pauses[at].PausedUntil.In(c.People.locale(p.getenv).Zone).Format(time.RFC3339)
			cause = ", paused until " + until + ": " + pauses[at].Reason
		}
		p.tell("the gateway fails or refuses the credentials of app id %s%s. Its other orders stay due.", appID, cause)
	}
}

// maxToldMerchants bounds the sentences about paused merchants.
const maxToldMerchants = 5

// tellPausedMerchants names the merchants whose orders the run left. Of named orders the report
// tells.
func (c *runOnceCommand) tellPausedMerchants(p *process, orders *store.Store, run poller.Run, named *account) error {
	if len(named.list) > 0 || p.ctx.Err() != nil {
		return nil
	}
	pauses, err := orders.Controls(p.ctx)
	pauses = slices.DeleteFunc(pauses, func(held store.Control) bool {
		return held.Scope != store.ScopeMerchant || c.DespitePause && held.SetBy != store.Breaker
	})
	if err != nil || len(pauses) == 0 {
		return err
	}
	left, err := countPaused(p.ctx, orders, run, pauses)
	if err != nil {
		return err
	}
	told := 0
	for _, held := range pauses {
		if left[held.Key] == 0 {
			continue
		}
		if told++; told > maxToldMerchants {
			p.tell("more merchants are paused: see reconciler pauses.")
			return nil
		}
		by, advice := "a person", " --despite-pause asks them too."
		if held.SetBy == store.Breaker {
			by, advice = "the circuit breaker", " --despite-pause sends one as the probe."
		}
		if c.DespitePause {
			advice = "" // its probe failed
		}
		p.tell("merchant %s is paused by %s; its open orders (%d) wait.%s", held.Key, by, left[held.Key], advice)
	}
	return nil
}

// countPaused counts by merchant the orders that the run would have asked without these pauses.
func countPaused(ctx context.Context, orders *store.Store, run poller.Run, pauses []store.Control) (map[string]int, error) {
	mids := make([]string, len(pauses))
	for i, held := range pauses {
		mids[i] = held.Key
	}
	return orders.CountByMerchant(ctx, store.Claim{MIDs: mids, Selection: run.Selection, DespitePause: true, Limit: math.MaxInt32})
}

// recordDespite records that a person asked despite the pauses in force.
func (c *runOnceCommand) recordDespite(p *process, orders *store.Store) error {
	if !c.DespitePause || c.DryRun {
		return nil
	}
	pauses, err := orders.Controls(p.ctx)
	if err != nil || len(pauses) == 0 {
		return err
	}
	after, err := json.Marshal(map[string]any{
		"mer_order_ids": c.MerOrderIDs, "from": c.From, "mid": c.MID, "all": c.All, "review": c.Review, "limit": c.maxOrders(),
	})
	if err != nil {
		return err
	}
	before, err := json.Marshal(pauses)
	if err != nil {
		return err
	}
	_, err = orders.AddAction(p.ctx, store.Action{Actor: c.People.actorName(p.getenv), Via: "cli", Action: "run-once --despite-pause", Before: before, After: after})
	return err
}
