#!/bin/sh
# Nothing is started or restarted: a new program wants its settings, or the migrations, first.
set -e
settings=/etc/reconciler/reconciler.env
# deb only. $2 is the version that was configured last: none at the first installation.
if [ "$1" = configure ] && [ -z "$2" ] && [ ! -e $settings ]; then
	install -m 640 /usr/share/reconciler/reconciler.env $settings
fi
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
