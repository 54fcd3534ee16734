#!/usr/bin/env bash
# Installs what the tests use and the machine lacks: Debian packages (as root or
# with sudo) and npm packages pinned by lock files. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

# command:package
wanted=(curl:curl openssl:openssl chromium:chromium nginx:nginx haproxy:haproxy wrk:wrk slowhttptest:slowhttptest sqlmap:sqlmap ffuf:ffuf testssl:testssl.sh python3:python3 node:nodejs npm:npm rsyslogd:rsyslog prometheus-alertmanager:prometheus-alertmanager promtool:prometheus)
missing=()
for pair in "${wanted[@]}"; do
	PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
# rsyslog's TLS is a module in a package of its own.
if ! compgen -G "/usr/lib/*/rsyslog/lmnsd_gtls.so" >/dev/null && [ ! -e /usr/lib/rsyslog/lmnsd_gtls.so ]; then missing+=(rsyslog-gnutls); fi
if ((${#missing[@]})); then
	root=()
	if [ "$(id -u)" != 0 ]; then root=(sudo); fi
	if ! command -v apt-get >/dev/null; then
		echo "install: please install these yourself (no apt-get here): ${missing[*]}" >&2
		exit 1
	fi
	echo "install: ${missing[*]}"
	# A package must not start a service of its own on this machine.
	"${root[@]}" apt-get update -qq
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

while IFS= read -r lock; do
	folder=$(dirname "$lock")
	if [ ! -f "$folder/node_modules/.package-lock.json" ] || [ "$lock" -nt "$folder/node_modules/.package-lock.json" ]; then
		echo "install: npm packages of $folder"
		(cd "$folder" && npm ci --silent --no-audit --no-fund --ignore-scripts)
	fi
done < <(git ls-files '*package-lock.json')
