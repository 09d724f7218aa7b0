#!/bin/sh
# Nothing is started or restarted: a new program wants its settings, or the migrations, first.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
