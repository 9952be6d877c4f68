# Takes k3s from a host: processes, mounts, network, rules of the packet filter, files. Each part is safe to be done
# again. The arguments are settings of the kernel as they were, `name=value`; folders that were there, `+/path`; file
# systems that were mounted in them, `@/path`; and tables of the packet filter that were there, `iptables:filter`. The
# marker goes last: while it is there the host is not free.
failed=
note() { failed="$failed$1; "; }
had() { for given in $arguments; do [ "$given" = "$1" ] && return; done; return 1; }
arguments=" $* "
data=/var/lib/rancher/k3s
PATH=$PATH:$data/data/current/bin/aux:$data/data/current/bin

for unit in k3s k3s-agent; do
  [ -e "/etc/systemd/system/$unit.service" ] || continue
  systemctl disable --quiet "$unit" 2>/dev/null
  systemctl stop "$unit" || note "the unit $unit does not stop"
done

# What runs from k3s' own folder, and all that it started: pods live on when k3s is stopped. A process is what it was
# started from, so nothing else is met.
ours() {
  for process in /proc/[0-9]*; do
    case $(tr '\0' ' ' < "$process/cmdline" 2>/dev/null) in
      "$data/data/"*|"/usr/local/bin/k3s "*) echo "${process#/proc/}" ;;
    esac
  done 2>/dev/null
}
descendants() {
  wanted=" $(echo $1) "
  while :; do
    more=
    for status in /proc/[0-9]*/status; do
      pid=${status#/proc/}; pid=${pid%/status}
      parent=$(sed -n 's/^PPid:[[:space:]]*//p' "$status" 2>/dev/null)
      case $wanted in *" $pid "*) continue ;; esac
      case $wanted in *" $parent "*) more="$more$pid " ;; esac
    done
    [ -n "$more" ] || break
    wanted="$wanted$more"
  done
  echo $wanted
}
turns=0
while pids=$(ours); [ -n "$pids" ] && [ "$turns" -lt 20 ]; do
  kill -9 $(descendants "$pids") 2>/dev/null
  turns=$((turns + 1)); sleep 0.1
done
[ -z "$pids" ] || note "processes $(echo $pids) do not end"

mounts() {
  awk '{print $2}' /proc/self/mounts | grep -E '^(/run/k3s|/var/lib/rancher/k3s|/var/lib/kubelet|/run/netns/cni-)' | sort -r |
    while IFS= read -r place; do had "@$place" || printf '%s\n' "$place"; done
}
turns=0
while [ -n "$(mounts)" ] && [ "$turns" -lt 10 ]; do
  mounts | while IFS= read -r place; do umount "$place" 2>/dev/null || umount -l "$place" 2>/dev/null; done
  turns=$((turns + 1))
done
[ -z "$(mounts)" ] || note "mounts are left: $(echo $(mounts))"

for space in $(ip netns list 2>/dev/null | awk '/^cni-/ {print $1}'); do ip netns delete "$space"; done
for link in $(ip -o link show master cni0 2>/dev/null | sed 's/^[0-9]*: \([^@:]*\).*/\1/') cni0 flannel.1 flannel-v6.1 flannel-wg flannel-wg-v6 kube-ipvs0; do
  [ ! -e "/sys/class/net/$link" ] || ip link delete "$link" || note "the interface $link is left"
done

for program in iptables ip6tables; do
  command -v "$program-save" >/dev/null 2>&1 || continue
  rules=$("$program-save" 2>/dev/null)
  if printf '%s' "$rules" | grep -qE 'KUBE-|CNI-|FLANNEL|flannel'; then
    "$program-save" -c | grep -vE 'KUBE-|CNI-|FLANNEL|flannel' | "$program-restore" -c || note "rules of $program are left"
  fi
  # A table that was not there before goes, if nothing is in it. Only nft can: without it, empty chains stay that let
  # everything pass.
  command -v nft >/dev/null 2>&1 || continue
  family=ip; [ "$program" = iptables ] || family=ip6
  for table in $("$program-save" 2>/dev/null | sed -n 's/^\*//p'); do
    had "$program:$table" && continue
    "$program-save" -t "$table" | grep -q '^-A' || nft delete table "$family" "$table" 2>/dev/null
  done
done
if command -v ipset >/dev/null 2>&1; then
  for set in $(ipset list -n 2>/dev/null | grep -E '^(inet6:)?KUBE-'); do ipset destroy "$set" || note "the set $set of the packet filter is left"; done
fi

for given; do
  case $given in
    +*) ;;
    *=*)
      file=/proc/sys/$(printf %s "${given%%=*}" | tr . /)
      [ ! -w "$file" ] || [ "$(cat "$file")" = "${given#*=}" ] || printf '%s' "${given#*=}" > "$file" 2>/dev/null ;;
  esac
done

# A disk of somebody's own is emptied and stays mounted; whatever else is in the folder goes.
clear() {
  mounted=
  for given in $arguments; do
    case $given in "@$1" | "@$1/"*) find "${given#@}" -xdev -mindepth 1 ! -name lost+found -delete && mounted=yes ;; esac
  done
  [ -n "$mounted" ] || { rm -rf --one-file-system "$1"; return; }
  find "$1" -xdev -depth -mindepth 1 ! -type d ! -path '*/lost+found/*' -delete
  find "$1" -xdev -depth -mindepth 1 -type d -empty ! -name lost+found -delete 2>/dev/null
  [ -z "$(find "$1" -xdev ! -type d ! -path '*/lost+found/*' | head -n 1)" ]
}
clear "$data" || note "files of k3s are left"
rm -rf --one-file-system /run/k3s /etc/rancher/node || note "files of k3s are left"
for folder in /var/lib/kubelet /var/lib/cni /etc/cni /opt/cni /run/flannel /run/containerd /run/nri /var/log/pods /var/log/containers /usr/libexec/kubernetes /etc/kubernetes; do
  had "+$folder" || clear "$folder" || note "$folder is left"
done
had +/run/netns || rmdir /run/netns 2>/dev/null
had +/var/lib/rancher || rmdir /var/lib/rancher 2>/dev/null
rm -f /etc/systemd/system/k3s.service /etc/systemd/system/k3s-agent.service
systemctl daemon-reload
systemctl reset-failed k3s k3s-agent 2>/dev/null
rm -f /usr/local/bin/k3s /usr/local/bin/.k3s.*.part
systemctl stop kubepods.slice 2>/dev/null
find /sys/fs/cgroup -depth -type d -name '*kubepods*' 2>/dev/null | while IFS= read -r group; do
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
done
if [ -n "$failed" ]; then printf '%s\n' "$failed" >&2; exit 1; fi
find /etc/rancher/k3s -mindepth 1 ! -name shopctl.json -delete 2>/dev/null
rm -f /etc/rancher/k3s/shopctl.json
had +/etc/rancher/k3s || rmdir /etc/rancher/k3s 2>/dev/null
had +/etc/rancher || rmdir /etc/rancher 2>/dev/null
:
