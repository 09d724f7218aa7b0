#!/bin/sh
# What people wrote into /etc/reconciler stays, also after a purge: a key that is lost has to be asked for again.
set -e
if [ "$1" = purge ] && [ -d /etc/reconciler ]; then
	if ! rmdir /etc/reconciler 2>/dev/null; then
		echo 'reconciler: these files stay in /etc/reconciler, keys among them. Delete them when nobody needs them:'
		ls -A /etc/reconciler
	fi
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
