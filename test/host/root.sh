# shellcheck shell=bash
# The cached root file systems of disposable test hosts. Sourced by ./host.

# ensure NAME COMMAND…: prints NAME, and runs COMMAND… PATH first when $cache/NAME is missing. COMMAND makes it elsewhere and
# renames it when it is complete, so an interrupted build leaves nothing that looks finished.
ensure() {
  local wanted=$1 kind
  shift
  kind=${wanted##*/}
  if [ ! -d "$cache/$wanted" ]; then
    # Two builders at once: the second waits, and finds the first one's result.
    (
      flock 9
      if [ ! -d "$cache/$wanted" ]; then "$@" "$cache/$wanted"; fi
    ) 9>"$cache/lock-${kind%-*}" >&2
    prune_cache
  fi
  touch -c "$cache/$wanted"
  echo "${wanted##*/}"
}
short_hash() { sha256sum | cut -c1-12; }

# One word that changes whenever the recipe does, so that a changed recipe is built anew.
root_key() {
  (cd "$here" && declare -f build_root && find root -type f | LC_ALL=C sort | xargs sha256sum; dpkg --print-architecture) | short_hash
}
ensure_root() { ensure "root-$1-$(root_key)" build_root "$1"; }

build_root() {
  local suite=$1 root=$2
  require mmdebstrap mmdebstrap debian-archive-keyring
  say "building the root of $suite (once, about half a minute; cached in $cache)"
  rm -rf "$cache/building-root-$suite"
  # A mount namespace of its own: an interrupted build leaves no mounts behind.
  unshare --mount mmdebstrap --quiet --mode=root --variant=apt --format=directory \
    --include="$(grep -v '^#' "$here/root/packages" | paste -sd,)" "${apt_options[@]}" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="cp -r --no-preserve=ownership '$here/root/files/.' \"\$1\"" \
    --customize-hook="chroot \"\$1\" /bin/sh -s < '$here/root/customize'" \
    "$suite" "$cache/building-root-$suite" "${mirror[@]}" </dev/null
  mv -T "$cache/building-root-$suite" "$root"
}

# Where the machine's mirror is an old snapshot its apt is told not to mind; mmdebstrap's must be told too.
apt_options=()
if [ "$(apt-config dump 2>/dev/null | sed -n 's/^Acquire::Check-Valid-Until "\(.*\)";/\1/p')" = false ]; then
  apt_options+=(--aptopt='Acquire::Check-Valid-Until "false"')
fi
mirror=()
[ -z "${PGO_TEST_MIRROR:-}" ] || mirror+=("$PGO_TEST_MIRROR")

# Keeps the three of each kind that were used last, and whatever a host there is uses.
prune_cache() {
  local kind old
  for kind in root-trixie root-forky stores/base stores/pgo; do
    find "$(dirname "$cache/$kind")" -mindepth 1 -maxdepth 1 -type d -name "${kind##*/}-*" -printf '%T@ %p\n' |
      sort -rn | tail -n +4 | cut -d' ' -f2- | while read -r old; do
        grep -qsxF "${old##*/}" "$hosts"/*/uses-* || rm -rf "$old"
      done
  done
}
