package main

import (
	"reconciler/internal/chinaums"
	"reconciler/internal/poller"
)

// accounts are the clients of all credentials.
type accounts struct {
	options chinaums.Options // of each, but for the credentials
	list    []credential
	// opened keeps them over a reload, and with them the access token that all questions
	// of an app id share.
	opened map[chinaums.Credentials]*chinaums.Client
}

func newAccounts(options chinaums.Options, list []credential) *accounts {
	return &accounts{options: options, list: list, opened: make(map[chinaums.Credentials]*chinaums.Client)}
}

// use makes list the one in use, and returns it as the poller takes it.
func (a *accounts) use(list []credential) ([]poller.Account, error) {
	var all []poller.Account
	for _, entry := range list {
		client, err := a.client(entry.Credentials)
		if err != nil {
			return nil, err
		}
		all = append(all, poller.Account{AppID: entry.AppID, Gateway: client, MIDs: entry.MIDs})
	}
	a.list = list
	return all, nil
}

func (a *accounts) client(credentials chinaums.Credentials) (*chinaums.Client, error) {
	if client := a.opened[credentials]; client != nil {
		return client, nil
	}
	options := a.options
	options.Credentials = credentials
	client, err := chinaums.New(options)
	if err == nil {
		a.opened[credentials] = client
	}
	return client, err
}

func (a *accounts) appIDs() []string {
	ids := make([]string, len(a.list))
	for i, entry := range a.list {
		ids[i] = entry.AppID
	}
	return ids
}

// close lets go of the idle connections.
func (a *accounts) close() {
	for _, client := range a.opened {
		client.Close()
	}
}
