package poller

import (
	"errors"
	"fmt"
	"slices"
)

// App is an app id at the gateway, and the merchants that are asked for with its credentials.
type App struct {
	AppID   string // whose pauses and budget the questions are under
	Gateway Gateway
	MIDs    []string // nil: all merchants, which only a single account can have
}

// appState is an App at work. The one without a gateway is of all the orders whose
// merchants are in no other's list.
type appState struct {
	App

	except []string // merchants that are not its own
	gates  *gates
}

// Use replaces the accounts, from the next claim on. Questions under way end with the
// accounts that they began with; what is known of an app id's trouble is kept.
func (p *Poller) Use(accounts []App) error {
	if err := checkAccounts(accounts); err != nil {
		return err
	}
	var before, list []*appState
	if using := p.apps.Load(); using != nil {
		before = *using
	}
	var listed []string
	for _, a := range accounts {
		list = append(list, &appState{App: a, gates: gatesOf(before, a.AppID)})
		listed = append(listed, a.MIDs...)
	}
	if listed != nil {
		list = append(list, &appState{except: listed, gates: newGates()})
	}
	p.apps.Store(&list)
	return nil
}

func checkAccounts(accounts []App) error {
	var errs []error
	owners := make(map[string]string)
	for _, a := range accounts {
		switch {
		case a.AppID == "" || a.Gateway == nil:
			errs = append(errs, errors.New("poller: an account needs an app id and a gateway"))
		case a.MIDs == nil && len(accounts) > 1:
			errs = append(errs, fmt.Errorf("poller: of several accounts, %s has no merchants", a.AppID))
		}
		for _, mid := range a.MIDs {
			if owner, taken := owners[mid]; taken {
				errs = append(errs, fmt.Errorf("poller: merchant %s has two accounts, %s and %s", mid, owner, a.AppID))
			}
			owners[mid] = a.AppID
		}
	}
	if len(accounts) == 0 {
		errs = append(errs, errors.New("poller: an account is needed"))
	}
	return errors.Join(errs...)
}

// gatesOf are those of an app id that is in use already, or new ones.
func gatesOf(accounts []*appState, app string) *gates {
	i := slices.IndexFunc(accounts, func(a *appState) bool { return a.Gateway != nil && a.AppID == app })
	if i < 0 {
		return newGates()
	}
	return accounts[i].gates
}
