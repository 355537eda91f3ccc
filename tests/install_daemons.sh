#!/bin/sh
# Installs the real daemons that the tests talk to (Debian packages; needs root or passwordless sudo).
set -eu
here=$(dirname "$0")
missing=""
for package in $(cat "$here/daemons.txt"); do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
as_root=""
if [ "$(id -u)" != 0 ]; then
  if sudo -n true 2>/dev/null; then as_root="sudo"; else
    echo "The tests need these Debian packages:$missing" >&2
    echo "Install them with: sudo apt-get install$missing" >&2
    exit 1
  fi
fi
# Some daemons start themselves when installed; the tests start their own on other ports.
printf '#!/bin/sh\nexit 101\n' > /tmp/forestall-policy && chmod +x /tmp/forestall-policy
[ -e /usr/sbin/policy-rc.d ] || $as_root cp /tmp/forestall-policy /usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# shellcheck disable=SC2086
$as_root apt-get install -y -q --no-install-recommends $missing
