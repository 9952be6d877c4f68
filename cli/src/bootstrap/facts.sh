# Tells what a host is and what runs there: a line each, `key=value`, and `end=ok` last. Changes nothing but a note in
# /run/k3s, which goes with k3s.
# The arguments are the files whose digests are wanted.
say() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n\r' '  ')"; }
yes_no() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }
# The digest of a file. That of a large one is noted, with what tells that the file is still the same.
digest_of() {
  [ "$(stat -c %s -- "$1")" -gt 1000000 ] || { sha256sum < "$1"; return; }
  same="$1 $(stat -c '%d %i %s %y %z' -- "$1") "
  while IFS= read -r line; do
    case $line in "$same"*) printf '%s -\n' "${line##* }"; return ;; esac
  done 2>/dev/null < /run/k3s/shopctl-digests
  sum=$(sha256sum < "$1")
  [ ! -d /run/k3s ] || printf '%s%s\n' "$same" "${sum%% *}" 2>/dev/null > /run/k3s/shopctl-digests
  printf '%s\n' "$sum"
}
existing() { d=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; printf '%s' "$d"; }

say time "$(date +%s.%N)"
say os "$(. /etc/os-release 2>/dev/null; printf '%s' "${PRETTY_NAME:-unknown}")"
say arch "$(uname -m)"
say kernel "$(uname -r)"
say hostname "$(uname -n)"
say machine "$(cat /etc/machine-id 2>/dev/null)"
say systemd "$(yes_no test -d /run/systemd/system)"
say cpus "$(getconf _NPROCESSORS_ONLN)"
say memory "$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)"

say data "$(df -Pk "$(existing /var/lib/rancher/k3s)" | awk 'NR == 2 {print $4}')"
say programs "$(df -Pk "$(existing /usr/local/bin)" | awk 'NR == 2 {print $4}')"
say filesystem "$(stat -f -c %T "$(existing /var/lib/rancher/k3s)")"

case $(stat -f -c %T /sys/fs/cgroup 2>/dev/null) in
  cgroup2fs) say cgroup v2; say controllers "$(cat /sys/fs/cgroup/cgroup.controllers)" ;;
  *) say cgroup v1; say controllers "$(awk '$4 == 1 {printf "%s ", $1}' /proc/cgroups)" ;;
esac
bound=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status)
# Bit 24: of sixteen digits the tenth holds bits 24 to 27.
case $(printf '%s' "$bound" | cut -c10) in
  1|3|5|7|9|b|d|f) say resource yes ;;
  *) say resource no ;;
esac
for module in overlay br_netfilter; do
  if [ -d "/sys/module/$module" ] || modprobe -nq "$module" 2>/dev/null || grep -qw "$module" /proc/filesystems; then
    say module "$module yes"
  elif [ -d "/lib/modules/$(uname -r)" ]; then say module "$module no"
  else say module "$module unknown"
  fi
done
for program in iptables ipset conntrack ip mount sha256sum dd; do
  say program "$program $(yes_no command -v "$program")"
done

say route "$(ip -o route show default 2>/dev/null | head -n 1)"
ip -o addr show scope global 2>/dev/null | while read -r _ device _ address _; do say address "$device $address"; done
if command -v ss >/dev/null 2>&1; then
  ss -H -lntup 2>/dev/null | while read -r kind _ _ _ local _ process; do
    holder=$(printf '%s' "$process" | sed -n 's/^users:(("\([^"]*\)",pid=\([0-9]*\).*/\2 \1/p')
    # What a run that was killed left of trying the ways between hosts is nobody's, and ends by itself.
    case $holder in *systemd-socket*)
      ! tr '\0' '\n' 2>/dev/null < "/proc/${holder%% *}/environ" | grep -qx SHOPCTL_LINKS=1 || continue
    esac
    say listen "$kind $local $holder"
  done
else
  say listen unknown
fi

[ ! -e /etc/kubernetes/kubelet.conf ] || say other kubeadm
[ ! -e /var/lib/rancher/rke2 ] || say other rke2
[ ! -e /var/lib/k0s ] || say other k0s
[ ! -e /var/snap/microk8s ] || say other microk8s

say marker "$(cat /etc/rancher/k3s/shopctl.json 2>/dev/null)"
say binary "$(command -v k3s 2>/dev/null)"
[ ! -x /usr/local/bin/k3s ] || say version "$(/usr/local/bin/k3s --version 2>/dev/null </dev/null | sed -n 's/^k3s version \([^ ]*\).*/\1/p')"
say state "$(yes_no test -e /var/lib/rancher/k3s/agent -o -e /var/lib/rancher/k3s/server)"
say password "$(yes_no test -s /etc/rancher/node/password)"
for path; do
  if [ -f "$path" ]; then
    sum=$(digest_of "$path")
    say file "${sum%% *} $(stat -c %a -- "$path") $path"
  else
    say file "absent 0 $path"
  fi
done
for archive in /var/lib/rancher/k3s/agent/images/*; do
  [ ! -f "$archive" ] || say image "$(stat -c %s -- "$archive") $(basename -- "$archive")"
done
for unit in k3s k3s-agent; do
  pid=$(systemctl show -p MainPID --value "$unit" 2>/dev/null)
  digest=none
  if [ "${pid:-0}" -gt 0 ] 2>/dev/null; then
    digest=$(tr '\0' '\n' < "/proc/$pid/environ" 2>/dev/null | sed -n 's/^SHOPCTL_DIGEST=//p')
  fi
  active=$(systemctl show -p ActiveState --value "$unit" 2>/dev/null) || active=unknown
  enabled=$(systemctl is-enabled "$unit" 2>/dev/null) || :
  say unit "$unit ${active:-unknown} ${enabled:-none} ${pid:-0} ${digest:-none}"
done
if [ -s /var/lib/rancher/k3s/server/agent-token ]; then
  sum=$(sha256sum < /var/lib/rancher/k3s/server/agent-token)
  say agentToken "${sum%% *}"
fi
if [ -s /var/lib/rancher/k3s/server/token ]; then
  sum=$(sha256sum < /var/lib/rancher/k3s/server/token)
  say serverToken "${sum%% *}"
fi
if [ "$(systemctl is-active k3s 2>/dev/null)" = active ]; then
  say nodes "$(api /api/v1/nodes | base64 -w0)"
fi
say end ok
