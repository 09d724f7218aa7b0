package main

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"reconciler/internal/webhook"
)

// checkProxy judges the proxy that the environment names for an address. Go's client ignores one
// that it cannot read, and asks without a proxy. The value may hold a password: it is not shown.
func checkProxy(getenv func(string) string, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" || webhook.IsLoopback(u.Hostname()) || hasNoProxy(getenv, u.Hostname()) {
		return nil // another check names it, or no proxy is used
	}
	name := strings.ToUpper(u.Scheme) + "_PROXY"
	if getenv(name) == "" {
		name = strings.ToLower(name)
	}
	if value := getenv(name); value == "" || isProxy(value) {
		return nil
	}
	return fmt.Errorf("%s is no address of a proxy: write it like http://proxy.internal:3128, special characters of a password as %%40", name)
}

// hasNoProxy reports whether NO_PROXY lists a host. Go's client then looks at no proxy.
func hasNoProxy(getenv func(string) string, host string) bool {
	list := strings.Split(cmp.Or(getenv("NO_PROXY"), getenv("no_proxy")), ",")
	return slices.ContainsFunc(list, func(entry string) bool {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if name, _, err := net.SplitHostPort(entry); err == nil {
			entry = name
		}
		network, _ := netip.ParsePrefix(entry)
		ip, _ := netip.ParseAddr(host)
		domain := strings.TrimLeft(entry, "*.")
		return entry == "*" || network.Contains(ip) || domain != "" && strings.HasSuffix("."+strings.ToLower(host), "."+domain)
	})
}

func isProxy(value string) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && port > 0
}
