#!/bin/sh
# $1 is "upgrade" (deb) or 1 (rpm) where another version takes the place.
set -e
case "$1" in
upgrade | 1) exit 0 ;;
esac
command -v systemctl >/dev/null || exit 0
now=
if [ -d /run/systemd/system ]; then now=--now; fi
systemctl disable $now reconciler.service reconciler-prune.timer || true
