# shellcheck shell=bash
# The root file system of the lab's hosts: a bare Debian with systemd and sshd, made once.

suite=${SHOPCTL_LAB_SUITE:-bookworm}
root_packages=(
    systemd systemd-sysv dbus openssh-server sudo ca-certificates curl procps kmod mount
    iproute2 iptables ipset conntrack ethtool socat iputils-ping
)

# Where this machine gets its own Debian packages from; debootstrap and apt take a proxy from the environment.
debian_mirror() {
    local found
    if [ -n "${SHOPCTL_LAB_MIRROR:-}" ]; then
        echo "$SHOPCTL_LAB_MIRROR"
        return
    fi
    found=$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' 2>/dev/null |
        awk -v suite="$suite" '$2 == "Debian" && $3 == suite { print $1; exit }') || true
    echo "${found:-http://deb.debian.org/debian}"
}

use_apt_proxy() {
    local proxy
    [ -z "${http_proxy:-}" ] || return 0
    proxy=$(apt-config dump 2>/dev/null | sed -n 's/^Acquire::http::Proxy "\(.*\)";$/\1/p' | head -1)
    [ -z "$proxy" ] || export http_proxy=$proxy
}

# The users that tests come as. The password guards nothing: these hosts can be reached from this machine only, and
# sshd takes no passwords.
make_users() {
    local root=$1
    chroot "$root" useradd --create-home --shell /bin/bash admin
    chroot "$root" useradd --create-home --shell /bin/bash clerk
    chroot "$root" useradd --create-home --shell /bin/bash guest
    echo 'clerk:lab-password' | chroot "$root" chpasswd
    printf '%s\n' 'admin ALL=(ALL) NOPASSWD: ALL' 'clerk ALL=(ALL) ALL' >"$root/etc/sudoers.d/lab"
    chmod 0440 "$root/etc/sudoers.d/lab"
}

# What a host in a namespace must not do to the kernel that it shares with this machine, and what it has no device for.
quiet_units=(
    systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-pstore.service
    proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
    sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount systemd-remount-fs.service
    getty.target console-getty.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer
    fstrim.timer dpkg-db-backup.timer
)

settle_root() {
    local root=$1 unit
    for unit in "${quiet_units[@]}"; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    mkdir -p "$root/etc/systemd/journald.conf.d" "$root/etc/ssh/sshd_config.d"
    # The kernel's log is this machine's, not the host's.
    printf '[Journal]\nReadKMsg=no\nStorage=persistent\nSystemMaxUse=64M\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
    printf '%s\n' 'PasswordAuthentication no' 'AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys' \
        'UseDNS no' >"$root/etc/ssh/sshd_config.d/lab.conf"
    # Without CAP_SYS_RESOURCE sudo would complain at every call that it cannot raise a limit again.
    echo 'Set disable_coredump false' >"$root/etc/sudo.conf"
    rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id" "$root/var/lib/dbus/machine-id" "$root"/etc/resolv.conf
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/*
}

# Prints the folder of the root file system, and makes it first if there is none of this recipe.
root_folder() {
    local recipe folder mirror log=$cache/root.log
    recipe=$({ echo "$suite"; cat "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-12)
    folder=$cache/root-$recipe
    if [ ! -d "$folder" ]; then
        need debootstrap debootstrap
        mkdir -p "$cache"
        exec 8>"$cache/root.lock"
        flock 8
    fi
    if [ ! -d "$folder" ]; then
        mirror=$(debian_mirror)
        use_apt_proxy
        say "making the hosts' root file system with debootstrap (once, some minutes; log: $log)"
        rm -rf --one-file-system "$folder.partial"
        debootstrap --variant=minbase --include="$(IFS=,; echo "${root_packages[*]}")" "$suite" "$folder.partial" \
            "$mirror" >"$log" 2>&1 </dev/null || {
            tail -5 "$log" >&2
            die 1 "failed to make the root file system with debootstrap" "the whole log is in $log; SHOPCTL_LAB_MIRROR names another mirror"
        }
        make_users "$folder.partial"
        settle_root "$folder.partial"
        mv "$folder.partial" "$folder"
    fi
    # One who waited for the other's root must not keep the lock for as long as its hosts live.
    exec 8>&-
    echo "$folder"
}
