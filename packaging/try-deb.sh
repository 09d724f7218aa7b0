#!/bin/sh
# Runs inside the Debian of scripts/try-deb: a shop adopts the newer deb, and an older one is upgraded.
set -eu
cd /usr/share/doc
export LC_ALL=C.UTF-8 HOME=/root DEBIAN_FRONTEND=noninteractive

began=$(date +%s)
say() { echo "== $(($(date +%s) - began)) s: $*"; }
fail() {
	echo "FAILED: $*"
	journalctl --no-pager --lines=30 --unit=reconciler.service
	exit 1
}
install_deb() { apt-get install -q -y --no-install-recommends "$1" </dev/null >/root/apt 2>&1 || { cat /root/apt; fail "apt-get install $1"; }; }
# await SECONDS SQL waits until the SQL, asked in the shop's database, says t.
await() {
	for _ in $(seq "$1"); do
		if [ "$(psql -qAt "$OWNER" -c "$2")" = t ]; then return; fi
		sleep 1
	done
	fail "still not so: $2"
}
# steps FILE HEADING prints the shell commands of a section, with the passwords and addresses of this Debian.
steps() {
	awk -v heading="## $2" '
		/^## / { inside = $0 == heading }
		/^```/ { code = inside && $0 == "```sh"; next }
		code' "$1" | sed -e 's|postgres://shop@db/shop|postgres://shop:shop@127.0.0.1/shop|' -e "s|…|daemon|" \
		-e 's|^sudo -u postgres|runuser -u postgres --|'
}
# follow runs the steps whose first lines are read, up to and including the one that begins with $1.
follow() {
	while IFS= read -r line; do
		echo "\$ $line"
		code=0
		eval "$line" </dev/null || code=$?
		case "$line:$code" in
		*:0 | 'reconciler status:3' | 'reconciler migrate status:3') ;;
		*) fail "exit code $code: $line" ;;
		esac
		case "$line" in "$1"*) return ;; esac
	done
}
stays() { [ -e "$1" ] || fail "$1 is gone"; }
gone() { [ ! -e "$1" ] || fail "$1 is still there"; }

OWNER=postgres://shop:shop@127.0.0.1/shop
runuser -u postgres -- psql -q -c "CREATE ROLE shop LOGIN PASSWORD 'shop'" -c 'CREATE DATABASE shop OWNER shop' -c 'CREATE DATABASE plain OWNER shop'

say 'install the newer package'
install_deb /root/newer.deb
reconciler version
reconciler version | grep -q '^commit [0-9a-f]' || echo 'note: the package knows no commit'
systemd-analyze verify --man=no reconciler.service reconciler-prune.service reconciler-prune.timer
if systemctl is-active -q reconciler || systemctl is-enabled -q reconciler; then fail 'the installation started or enabled the service'; fi
[ "$(stat -c %a:%U /etc/reconciler/reconciler.env)" = 640:root ] || fail 'who may read reconciler.env?'

say 'a shop, its payments and a gateway'
cd /usr/share/doc/reconciler/examples/adopt
psql -q "$OWNER" -f shop.sql
psql -q "$OWNER" -c "INSERT INTO pay_order (order_sn, mch_no, pos_no, amount_yuan) VALUES
	('3194202606011200000000000001', '898340149000005', '88880001', 129), ('3194202606011200000000000002', '898340149000005', '88880001', 5)"
cat >/root/scenario.yaml <<'END'
apps: [{id: shop-app, key: shop-key}]
merchants: [{mid: "898340149000005", prefix: "3194"}]
orders:
  - {mid: "898340149000005", tid: "88880001", mer_order_id: "3194202606011200000000000001", amount: 12900, timeline: [{status: TRADE_SUCCESS}]}
  - {mid: "898340149000005", tid: "88880001", mer_order_id: "3194202606011200000000000002", amount: 500, timeline: [{status: TRADE_CLOSED}]}
  - {mid: "898340149000005", tid: "88880001", mer_order_id: "3194202606011200000000000003", amount: 700, timeline: [{status: TRADE_SUCCESS}]}
END
cp /usr/bin/reconciler /root/gateway # it outlives the package
systemd-run -q --unit=gateway /root/gateway simulator --scenario /root/scenario.yaml

say 'docs/adopt.md, up to the role'
steps ../../docs/adopt.md Steps >/root/adopt
exec 3</root/adopt
follow 'reconciler grants' <&3
cat >/etc/reconciler/reconciler.env <<'END'
DATABASE_URL='postgres://reconciler_daemon:daemon@127.0.0.1/shop?search_path=reconciler'
CHINAUMS_APP_ID=shop-app
CHINAUMS_BASE_URL=http://127.0.0.1:8080
END
printf 'shop-key\n' | install -m 600 /dev/stdin /etc/reconciler/app_key
say 'docs/adopt.md, to its end'
follow 'reconciler status' <&3
say 'the daemon runs; the payments become due over ten minutes, which are left out here'
psql -q "$OWNER" -c 'UPDATE reconciler.orders SET next_query_at = now()'
await 60 "SELECT array_agg(pay_state ORDER BY id) = '{1,2}' FROM pay_order"
say 'the first orders of the shop are settled'
reconciler why 3194202606011200000000000001
follow 'psql -q' <&3
await 1 "SELECT last.id = cursor.id FROM (SELECT max(id) AS id FROM reconciler.order_events) AS last, reconciler.event_consumers AS cursor WHERE name = 'pay_order'"
runuser -u postgres -- psql -q -c "CREATE ROLE reconciler_operator LOGIN PASSWORD 'operator'"
DATABASE_URL="$OWNER?search_path=reconciler" reconciler grants --role reconciler_operator --for operator | psql -q --set=ON_ERROR_STOP=1 "$OWNER"
echo 'DATABASE_URL=postgres://reconciler_operator:operator@127.0.0.1/shop?search_path=reconciler' | install -m 600 /dev/stdin /etc/reconciler/prune.env
systemctl enable -q --now reconciler-prune.timer
systemctl start reconciler-prune.service || fail 'prune'
say 'a key changes'
printf 'another-key\n' >/etc/reconciler/app_key
if systemctl reload reconciler; then fail 'a reload that would read the old key'; fi
systemctl restart reconciler
cmp /etc/reconciler/app_key /run/credentials/reconciler.service/app_key || fail 'the daemon reads the old key'
printf 'shop-key\n' >/etc/reconciler/app_key

say 'remove, then purge'
cd /
apt-get remove -qq -y reconciler </dev/null
if systemctl is-active -q reconciler; then fail 'the daemon still runs'; fi
gone /usr/bin/reconciler
gone /etc/systemd/system/multi-user.target.wants/reconciler.service
gone /etc/systemd/system/timers.target.wants/reconciler-prune.timer
stays /etc/reconciler/reconciler.env
apt-get purge -qq -y reconciler </dev/null
gone /etc/reconciler/reconciler.env
stays /etc/reconciler/app_key
stays /etc/reconciler/prune.env

say 'install the older package, with tables in a database of their own'
OWNER=postgres://shop:shop@127.0.0.1/plain
export DATABASE_URL="$OWNER"
install_deb /root/older.deb
reconciler version
reconciler migrate up
reconciler grants --role reconciler_daemon --for daemon | psql -q --set=ON_ERROR_STOP=1 "$OWNER"
cat >/etc/reconciler/reconciler.env <<'END'
DATABASE_URL='postgres://reconciler_daemon:daemon@127.0.0.1/plain'
CHINAUMS_APP_ID=shop-app
CHINAUMS_BASE_URL=http://127.0.0.1:8080
END
cp /etc/reconciler/reconciler.env /root/settings
systemctl enable -q --now reconciler
settle="INSERT INTO orders (mid, tid, mer_order_id, order_amount) VALUES ('898340149000005', '88880001'"
psql -q "$OWNER" -c "$settle, '3194202606011200000000000001', 12900)"
await 60 "SELECT status = 'TRADE_SUCCESS' FROM orders"
old=$(systemctl show --property=MainPID reconciler)

say 'upgrade it, by docs/upgrade.md'
install_deb /root/newer.deb
cmp /root/settings /etc/reconciler/reconciler.env || fail 'the upgrade changed the settings'
[ "$old" = "$(systemctl show --property=MainPID reconciler)" ] || fail 'the upgrade restarted the daemon'
(
	steps /usr/share/doc/reconciler/docs/upgrade.md Upgrade >/root/upgrade
	follow 'reconciler grants' </root/upgrade
	export CHINAUMS_APP_KEY_FILE=/etc/reconciler/app_key
	set -a
	# shellcheck source=/dev/null
	. /etc/reconciler/reconciler.env
	set +a
	sed '1,/^reconciler grants/d' /root/upgrade >/root/rest
	follow 'reconciler version' </root/rest
)
psql -q "$OWNER" -c "$settle, '3194202606011200000000000003', 700)"
await 60 "SELECT bool_and(status = 'TRADE_SUCCESS') FROM orders"
[ "$old" != "$(systemctl show --property=MainPID reconciler)" ] || fail 'the old daemon still runs'
apt-get purge -qq -y reconciler </dev/null
if systemctl is-active -q reconciler; then fail 'the daemon still runs'; fi
stays /etc/reconciler/app_key
say 'done'
