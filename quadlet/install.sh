#!/bin/sh
# Puts pgo on this host, for root's Podman or for that of the user who runs it: checks what must be there, gets the image,
# and runs the image's own `pgo bootstrap`. Safe to run again.
set -eu

usage='usage: install.sh [REPOSITORY] [--branch B] [--path P]... [--ssh-key F] [--known-hosts F] [--image I]
       install.sh --uninstall [--keep-running] [--image I]

REPOSITORY is what `git clone` takes; without it an example is deployed.'

released=${PGO_RELEASED_IMAGE:-ghcr.io/podman-gitops/pgo:latest}
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

main() {
  image='' action=bootstrap keep='' key='' hosts=''
  parse "$@"
  places
  if [ "$action" = uninstall ] && [ ! -e "$settings/pgo.toml" ] && [ ! -e "$quadlets/pgo-self/pgo.container" ]; then
    say "pgo is not installed here: there is no $settings/pgo.toml"
    exit 0
  fi
  check_host
  find_image
  if [ "$action" = uninstall ]; then
    find_directories
    # shellcheck disable=SC2086
    in_image uninstall $keep
    remove_empty
    exit 0
  fi
  mkdir -p "$settings" "$quadlets"
  key=$(keep_beside "$key" 600)
  hosts=$(keep_beside "$hosts" 644)
  find_directories
  make_directories
  # shellcheck disable=SC2086
  in_image bootstrap --image "$image" ${key:+--ssh-key "$key"} ${hosts:+--known-hosts "$hosts"} $words
}

# Words of the repository are kept apart by set --, so they may hold anything but white space.
parse() {
  words=''
  while [ $# -gt 0 ]; do
    case $1 in
      --branch | --path) [ $# -gt 1 ] || fail "$1 wants a value"; add "$1" "$2"; shift ;;
      --ssh-key | --known-hosts)
        [ $# -gt 1 ] || fail "$1 wants a file"
        [ -f "$2" ] || fail "there is no file $2"
        if [ "$1" = --ssh-key ]; then key=$2; else hosts=$2; fi
        shift
        ;;
      --image) [ $# -gt 1 ] || fail "$1 wants a name"; image=$2; shift ;;
      --uninstall) action=uninstall ;;
      --keep-running) keep=--keep-running ;;
      -h | --help) printf '%s\n' "$usage"; exit 0 ;;
      -*) fail "unknown option $1" ;;
      *) add "$1" ;;
    esac
    shift
  done
  [ -z "$keep" ] || [ "$action" = uninstall ] || fail '--keep-running goes with --uninstall'
}

add() {
  for word in "$@"; do
    case $word in *[[:space:]]*) fail "\"$word\" has white space in it" ;; esac
    words="$words $word"
  done
}

places() {
  if [ "$(id -u)" = 0 ]; then
    mode=rootful settings=/etc/pgo quadlets=/etc/containers/systemd units=/etc/systemd/system state=/var/lib/pgo
    systemctl='systemctl' podman_socket=/run/podman bus=/run/dbus
  else
    : "${XDG_RUNTIME_DIR:=/run/user/$(id -u)}"
    export XDG_RUNTIME_DIR
    mode=rootless settings=$HOME/.config/pgo quadlets=$HOME/.config/containers/systemd units=$HOME/.config/systemd/user state=$HOME/.local/share/pgo
    systemctl='systemctl --user' podman_socket=$XDG_RUNTIME_DIR/podman bus=$XDG_RUNTIME_DIR/bus
  fi
}

check_host() {
  command -v podman >/dev/null || missing 'Podman is not installed' 'apt install podman, or dnf install podman'
  [ -d /run/systemd/system ] || missing 'systemd does not run this machine' 'pgo deploys systemd services'
  [ -e /sys/fs/cgroup/cgroup.controllers ] || missing 'this machine does not use cgroup v2' 'boot it with systemd.unified_cgroup_hierarchy=1'
  # Before Podman is asked anything: without a runtime directory it only says that there is none.
  if [ "$mode" = rootless ]; then
    [ "$(loginctl show-user "$(id -un)" --property=Linger --value 2>/dev/null)" = yes ] ||
      missing "without lingering, services of $(id -un) end when $(id -un) logs out" "loginctl enable-linger $(id -un)"
    [ -S "$XDG_RUNTIME_DIR/bus" ] || missing "there is no user bus at $XDG_RUNTIME_DIR/bus" 'install dbus-user-session, and log in anew (not by su)'
  fi
  version=$(podman version --format '{{.Client.Version}}' 2>/dev/null) ||
    missing 'podman version fails' "$(last_line "$(podman version 2>&1)")"
  [ "${version%%.*}" -ge 5 ] || missing "Podman $version is too old, 5.0 or newer is needed" 'a newer release of the distribution has it'
  $systemctl cat podman.socket >/dev/null 2>&1 || missing 'Podman has no podman.socket unit' 'it belongs to the package podman'
  # The file alone says nothing: it stays when the socket unit is stopped.
  if ! $systemctl is-active --quiet podman.socket || [ ! -S "$podman_socket/podman.sock" ]; then
    missing 'podman.socket is not running' "$systemctl enable --now podman.socket"
  fi
}

last_line() {
  printf '%s\n' "$1" | tail -n 1
}

missing() {
  say "$1: $2"
  exit 1
}

# Asked for, there already, released, or built from this checkout.
find_image() {
  if [ -n "$image" ]; then
    podman image exists "$image" && return
    said=$(podman pull --quiet "$image" 2>&1) || missing "$image can't be pulled" "$(last_line "$said")"
    return
  fi
  image=localhost/pgo:latest
  podman image exists "$image" && return
  if podman pull --quiet "$released" >/dev/null 2>&1; then
    image=$released
    return
  fi
  [ -f "$here/Containerfile" ] || missing "$released can't be pulled" 'run this script from a checkout of pgo, or name an image with --image'
  say "building $image from $here"
  podman build --quiet --tag "$image" "$here" >/dev/null
}

# The usual ones of the state and of systemd's units, which pgo's quadlet mounts in any case, and what else an existing pgo.toml names,
# one a line: all that is not below the settings or the quadlets.
find_directories() {
  directories=$(printf '%s\n' "$state" "$units")
  [ -e "$settings/pgo.toml" ] || return 0
  named=$(run_image --network none --volume "$settings:$settings:ro" "$image" config directories)
  directories=$(printf '%s\n' "$state" "$units" "$named" | while IFS= read -r directory; do
    case $directory in
      "$settings" | "$settings"/* | "$quadlets" | "$quadlets"/*) ;;
      *) printf '%s\n' "$directory" ;;
    esac
  done | sort -u)
}

make_directories() {
  printf '%s\n' "$directories" | while IFS= read -r directory; do
    [ -d "$directory" ] || (umask 077 && mkdir -p "$directory")
  done
}

# Mount points outlive their container. Keys and what else lies there stay, and so does the system's directory of quadlets.
remove_empty() {
  printf '%s\n' "$directories" "$settings" | while IFS= read -r directory; do rmdir "$directory" 2>/dev/null || :; done
  [ "$mode" = rootful ] || rmdir "$quadlets" 2>/dev/null || :
}

# pgo's container sees only its own directories: a key or host file from elsewhere is copied beside pgo.toml.
keep_beside() {
  [ -n "$1" ] || return 0
  file=$(CDPATH='' cd -- "$(dirname -- "$1")" && pwd)/$(basename -- "$1")
  case $file in
    "$settings"/*) ;;
    *)
      install -m "$2" "$file" "$settings/$(basename -- "$file")"
      file=$settings/$(basename -- "$file")
      ;;
  esac
  printf '%s\n' "$file"
}

# The same mounts as pgo's own quadlet, but pgo.toml may be written.
in_image() {
  set -- "$image" "$@"
  while IFS= read -r directory; do
    set -- --volume "$directory:$directory" "$@"
  done <<END
$directories
$settings
$quadlets
$podman_socket
$bus
END
  terminal=''
  [ ! -t 1 ] || terminal=--tty
  # shellcheck disable=SC2086
  run_image $terminal --network host "$@"
}

run_image() {
  [ "$mode" = rootful ] || set -- --userns keep-id --env "PGO_HOME=$HOME" --env "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" "$@"
  podman run --rm --pull=never --read-only --cap-drop all --security-opt no-new-privileges --security-opt label=disable \
    --env "PGO_MODE=$mode" "$@"
}

fail() {
  printf 'install.sh: %s\n\n%s\n' "$1" "$usage" >&2
  exit 2
}

say() {
  printf 'install.sh: %s\n' "$1" >&2
}

main "$@"
