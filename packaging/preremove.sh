#!/bin/sh
# $1 is "upgrade" (deb) or 1 (rpm) where another version takes the place.
set -e
case "$1" in
upgrade | 1) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now reconciler.service reconciler-prune.timer || true
