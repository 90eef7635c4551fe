#!/bin/bash
# The first process of a disposable test host: makes its file system and devices, then becomes its systemd.
# Started by ./host in new mount, pid, uts, ipc and net namespaces, so nothing here changes the machine outside.
# usage: boot.sh DIRECTORY NAME CGROUP
set -euo pipefail
directory=$1 name=$2 cgroup=$3 root=$1/root

# The cgroup namespace begins at the cgroup of the process that makes it: move first, then unshare.
if [ "${4:-}" != inside ]; then
  # /proc is still the machine's here, so this is the process id that the machine sees; exec keeps it.
  read -r pid _ </proc/self/stat
  echo "$pid" >"$directory/pid"
  echo 0 >"$cgroup/cgroup.procs"
  exec unshare --cgroup "$0" "$directory" "$name" "$cgroup" inside
fi

mount_root() {
  cd "$directory"
  # Overlay can't be the upper layer of overlay, so Podman's storage lies on plain directories.
  if [ -e disk.img ]; then mount_disks; else mount_overlay; fi
  mkdir -p containers/{root,edge} root/var/lib/containers root/home/edge/.local/share/containers
  chown 1000:1000 containers/edge
  mount --bind containers/root root/var/lib/containers
  mount --bind containers/edge root/home/edge/.local/share/containers
  mount --bind stores root/usr/share/test-host/stores
  mount -o remount,bind,ro root/usr/share/test-host/stores
}

mount_overlay() {
  local options=lowerdir=lower,upperdir=upper,workdir=work
  mkdir -p upper work
  # "volatile" skips fsync on the overlay. A killed host loses nothing by it: only a power cut of the machine would.
  rm -rf work/work/incompat
  mount -t overlay overlay -o "$options,volatile" root 2>/dev/null || mount -t overlay overlay -o "$options" root
}

# The disks of a host with --power-cut. Their loop devices go away with this mount namespace.
mount_disks() {
  local disk
  for disk in disk containers; do
    mkdir -p "$disk"
    # Without auto_da_alloc a file that is renamed over another one and was never synced is lost, as on most file systems:
    # ext4 saves the careless else (ext4(5)).
    mount -o loop,noauto_da_alloc "$disk.img" "$disk"
  done
  mkdir -p disk/{upper,work}
  mount -t overlay overlay -o lowerdir=lower,upperdir=disk/upper,workdir=disk/work root
  # Where ./host reaches them when it cuts the power.
  for disk in disk containers; do
    mkdir -p "root/usr/share/test-host/$disk"
    mount --bind "$disk" "root/usr/share/test-host/$disk"
  done
  keep_beside srv/git
  keep_beside var/log/journal
}

# What stands for another machine, or watches, loses nothing when the power is cut.
keep_beside() {
  if [ ! -e "beside/$1" ]; then
    mkdir -p "beside/${1%/*}"
    cp -a "root/$1" "beside/$1"
  fi
  mount --bind "beside/$1" "root/$1"
}

mount_kernel() {
  mount -t proc -o nosuid,noexec,nodev proc "$root/proc"
  # Writable, unlike in other containers: Podman can't make containers with mapped ids (UserNS=) below a read-only /sys.
  # systemd would start udev then; there is none in the root.
  mount -t sysfs -o nosuid,noexec,nodev sysfs "$root/sys"
  mount -t cgroup2 -o nosuid,noexec,nodev cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
}

# An own /dev: with a bind of the machine's, a chmod in here would be one out there.
make_devices() {
  local dev=$root/dev node
  mount -t tmpfs -o mode=755,nosuid tmpfs "$dev"
  mkdir "$dev/pts" "$dev/shm" "$dev/net" "$dev/mqueue"
  for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229 net/tun:10:200; do
    IFS=: read -r node major minor <<<"$node"
    mknod -m 666 "$dev/$node" c "$major" "$minor"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5,nosuid,noexec devpts "$dev/pts"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$dev/shm"
  ln -s pts/ptmx "$dev/ptmx"
  ln -s /proc/self/fd "$dev/fd"
  ln -s /proc/self/fd/0 "$dev/stdin"
  ln -s /proc/self/fd/1 "$dev/stdout"
  ln -s /proc/self/fd/2 "$dev/stderr"
  touch "$dev/console"
  mount --bind "$directory/console.log" "$dev/console"
}

configure() {
  hostname "$name"
  echo "$name" >"$root/etc/hostname"
  printf '127.0.0.1 localhost %s\n::1 localhost\n' "$name" >"$root/etc/hosts"
  # No name server: look-ups fail at once instead of waiting for one that can't be reached.
  rm -f "$root/etc/resolv.conf" && echo "# none" >"$root/etc/resolv.conf"
  chroot "$root" ip link set lo up
  podman_limits >"$root/etc/containers/containers.conf.d/test-host.conf"
  [ -e "$root/etc/ssh/ssh_host_ed25519_key" ] || chroot "$root" /bin/sh -s "$name" <"${0%/*}/first-boot"
}

# Only what this machine needs, so that a host on a better one is closer to a real one.
podman_limits() {
  local limit
  echo "[containers]"
  grep -qw pids "$root/sys/fs/cgroup/cgroup.controllers" || echo "pids_limit = 0"
  # Without CAP_SYS_RESOURCE (bit 24) nobody can raise a limit to the 1048576 that Podman asks for.
  if (((0x$(sed -n 's/^CapEff:\s*//p' /proc/self/status) >> 24 & 1) == 0)); then
    limit=$(ulimit -Hn)
    echo "default_ulimits = [\"nofile=$limit:$limit\", \"nproc=$limit:$limit\"]"
  fi
}

become_init() {
  cd "$root"
  mkdir -p run/machine
  pivot_root . run/machine
  umount -l /run/machine && rmdir /run/machine
  # Rootless Podman wants shared mounts. After the pivot: pivot_root refuses shared ones.
  mount --make-rshared /
  # What belongs to the whole machine is not this host's to set: the clock, modules, raw devices, the kernel's log.
  exec setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog \
    /usr/bin/env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin /sbin/init
}

mount_root
mount_kernel
make_devices
mkdir -p "$root/etc/containers/containers.conf.d"
configure
become_init
