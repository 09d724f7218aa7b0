#!/bin/sh
# What people wrote into /etc/reconciler stays, also after a purge: a key that is lost has to be asked for again.
set -e
if [ "$1" = purge ] && [ -d /etc/reconciler ]; then
	echo 'reconciler: /etc/reconciler stays: it has files of yours, keys among them. Delete it when you need them no more:'
	ls -A /etc/reconciler
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
