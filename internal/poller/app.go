package poller

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// App is an app id at the gateway, and the merchants that are asked with its credentials.
type App struct {
	AppID   string // whose pauses and budget the questions are under
	Gateway Gateway
	MIDs    []string // nil: all merchants, which only a single app can have
}

// app is an App at work. The one without a gateway has all the orders whose merchants are in no
// other's list.
type app struct {
	App

	exceptMIDs []string    // merchants that are not its own
	revived    atomic.Bool // its orders under review no_credentials were made due
	place      place       // of the daemon's passes, which are one after the other
}

// UseApps replaces the apps, from the next pass on. Questions under way end with the apps that they
// began with.
func (p *Poller) UseApps(apps []App) error {
	if err := checkApps(apps); err != nil {
		return err
	}
	var list []*app
	var listed []string
	for _, a := range apps {
		list = append(list, &app{App: a})
		listed = append(listed, a.MIDs...)
	}
	if listed != nil {
		list = append(list, &app{exceptMIDs: listed})
	}
	p.apps.Store(&list)
	return nil
}

func checkApps(apps []App) error {
	var errs []error
	owners := make(map[string]string)
	for _, a := range apps {
		switch {
		case a.AppID == "" || a.Gateway == nil:
			errs = append(errs, errors.New("poller: an app needs an app id and a gateway"))
		case a.MIDs == nil && len(apps) > 1:
			errs = append(errs, fmt.Errorf("poller: of several apps, %s has no merchants", a.AppID))
		}
		for _, mid := range a.MIDs {
			if owner, taken := owners[mid]; taken {
				errs = append(errs, fmt.Errorf("poller: merchant %s has two apps, %s and %s", mid, owner, a.AppID))
			}
			owners[mid] = a.AppID
		}
	}
	if len(apps) == 0 {
		errs = append(errs, errors.New("poller: an app is needed"))
	}
	return errors.Join(errs...)
}
