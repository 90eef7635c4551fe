# shellcheck shell=bash
# The images of disposable test hosts. Sourced by ./host.
#
# Nothing comes from a registry, and a run with twenty hosts builds nothing twice: images are built once, in a test host
# of their own, and Podman's storage of that host is kept in the cache. Other hosts see it as a read-only "additional
# image store". There is one for root and one for edge, since files in a rootless store belong to mapped ids.
#   stores/base-KEY  localhost/node:24-slim (stands in for the official image), localhost/test/{busybox,web,generator}
#   stores/pgo-KEY   localhost/pgo:latest, built from the checkout; only what it adds to base
checkout=$(cd "$here/../.." && pwd)

command_image() {
  local user=root base pgo=''
  select_running "${1:-}"
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --user) user=${2:-} && shift ;;
      --user=*) user=${1#*=} ;;
      --context) checkout=$(cd "${2:-}" && pwd) && shift ;;
      --without-pgo) pgo=none ;;
      *) usage ;;
    esac
    shift
  done
  [[ "$user" =~ ^(root|edge)$ ]] || usage
  base=$(ensure_base)
  [ -n "$pgo" ] || pgo=$(ensure_pgo "$base")
  attach_stores "$user" "$pgo" "$base"
  sync_disk
}

# attach_stores USER STORE…: lets that user's Podman in the selected host see images of the cache.
attach_stores() {
  local user=$1 store list='' file=/etc/containers/storage.conf paths='' systemctl=(systemctl)
  shift
  for store in "$@"; do
    [ "$store" = none ] || list+="\"/usr/share/test-host/stores/$store/$user\", "
  done
  if [ "$user" = root ]; then
    paths=$'runroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"'
  else
    file=/home/$user/.config/containers/storage.conf
    systemctl+=(--user)
  fi
  printf '%s\n' "$@" >"$directory/uses-images-$user"
  printf '%s\n' '[storage]' 'driver = "overlay"' "$paths" '[storage.options]' "additionalimagestores = [${list%, }]" |
    write_file "$user" "$file" 644
  # A Podman service that runs already has read the old configuration.
  (as_user "$user" "${systemctl[@]}" try-restart podman.service)
}

# ---- stores ---------------------------------------------------------------------------------------------------------

ensure_base() {
  local key
  key=$(cd "$here" && { root_key; declare -f base_images node_image share_with_edge; find images -type f | LC_ALL=C sort | xargs sha256sum; } | short_hash)
  ensure "stores/base-$key" build_store "" base_images
}

ensure_pgo() {
  local key
  key=$(cd "$checkout" && { echo "$1"; declare -f pgo_image; context_files | xargs -0 sha256sum; } | short_hash)
  ensure "stores/pgo-$key" build_store "$1" pgo_image
}

# What the image is built from: tracked and new files, but none that a change of tests or documents touches.
context_files() {
  git -c safe.directory='*' ls-files -z --cached --others --exclude-standard -- Containerfile .containerignore \
    package.json package-lock.json .npmrc LICENSE 'tsconfig*.json' src quadlet examples | LC_ALL=C sort -zu | while IFS= read -rd '' file; do
    [ ! -f "$file" ] || printf '%s\0' "$file"
  done
}

# build_store BASE FUNCTION PATH: boots a host, lets FUNCTION build images as root, hands them to edge, keeps the storages.
build_store() (
  local base=$1 images=$2 path=$3
  say "building ${path##*/} (cached in $cache)"
  (remove_orphans)
  select_host "build-${path##*/}-$$"
  power_cut=false wait=true new=false owner=$$
  trap remove_host EXIT
  boot trixie
  alive
  if [ -n "$base" ]; then
    attach_stores root "$base"
    attach_stores edge "$base"
  fi
  machine_network
  "$images"
  # What is left of build stages is of no use to anybody.
  (as_user root podman image prune --force) >/dev/null
  share_with_edge
  kill_processes
  rm -rf "$path.new"
  mkdir "$path.new"
  mv "$directory/containers/root/storage" "$path.new/root"
  mv "$directory/containers/edge/storage" "$path.new/edge"
  mv "$path.new" "$path"
)

# The storage of edge's Podman gets what root's has. A container that maps ids (UserNS=keep-id) needs a copy of the image
# with other owners, which takes seconds: made once here, it is found in the store ever after.
share_with_edge() {
  local images
  images=$( (as_user root podman images --filter readonly=false --format '{{.Repository}}:{{.Tag}}') | grep -v '<none>')
  # shellcheck disable=SC2086
  (as_user root podman save --quiet --multi-image-archive --output /var/tmp/images.tar $images)
  (as_user edge podman load --quiet --input /var/tmp/images.tar) >/dev/null
  for image in $images; do
    (as_user edge podman create --quiet --userns keep-id --name keep-id "$image" true) >/dev/null
    (as_user edge podman rm keep-id) >/dev/null
  done
}

# The machine's own way out, for builds that need the npm registry; only build hosts get it.
machine_network() {
  local file
  for file in /etc/resolv.conf /etc/hosts; do
    write_file root "$file" 644 <"$file"
  done
}
# Like as_user root, but in the machine's network.
with_network() {
  nsenter --target "$pid" --mount --pid --uts --ipc --cgroup -- env -i -C /root HOME=/root PATH="$host_path" LANG=C.UTF-8 \
    "${proxies[@]}" "$@"
}
proxies=()
for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  [ -z "${!variable:-}" ] || proxies+=("$variable=${!variable}")
done

# ---- base: a stand-in for node:24-trixie-slim, and the test images ----------------------------------------------------

base_images() {
  require npm npm
  local temporary=$directory/base
  mkdir -p "$temporary"
  node_image "$temporary"
  # shellcheck disable=SC2016
  (as_user root sh -euc '
    mkdir -p /tmp/busybox/bin && cp /usr/bin/busybox /tmp/busybox/bin && cd /tmp/busybox
    for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "bin/$applet"; done
    mkdir -m 1777 tmp && mkdir -p etc root run www && echo "root:x:0:0:root:/root:/bin/sh" >etc/passwd
    tar -c . | podman import --quiet --change "CMD [\"/bin/sh\"]" - localhost/test/busybox:latest
    cd / && tar -c --dereference usr/lib/systemd/system-generators/podman-system-generator |
      podman import --quiet - localhost/test/generator:latest') >/dev/null
  tar -C "$here/images" -c . | unpack /tmp/images
  local tag
  for tag in good v2 never-healthy crash stubborn; do
    (as_user root podman build --quiet --network none --target "$tag" --tag "localhost/test/web:$tag" /tmp/images) >/dev/null
  done
}

# Laid out like the official image, so that the same Containerfile builds on both.
node_image() {
  local temporary=$1 arch
  case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) fail "no Node package for $(uname -m)" ;; esac
  (cd "$temporary" && npm pack --silent "node-linux-$arch@^24" "npm@^11" && for file in *.tgz; do
    mkdir "${file%%-[0-9]*}" && tar -C "${file%%-[0-9]*}" --strip-components=1 --no-same-owner -xf "$file"
  done) >/dev/null
  unshare --mount mmdebstrap --quiet --mode=root --variant=minbase --format=tar "${apt_options[@]}" \
    --include=ca-certificates,libatomic1,libstdc++6,git,openssh-client \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="install -m 755 '$temporary/node-linux-$arch/bin/node' \"\$1/usr/local/bin/node\"" \
    --customize-hook="mkdir -p \"\$1/usr/local/lib/node_modules\" \"\$1/usr/local/etc\" \"\$1/var/cache/npm\"" \
    --customize-hook="cp -r --no-preserve=ownership '$temporary/npm' \"\$1/usr/local/lib/node_modules/npm\"" \
    --customize-hook="ln -s ../lib/node_modules/npm/bin/npm-cli.js \"\$1/usr/local/bin/npm\"" \
    --customize-hook="ln -s ../lib/node_modules/npm/bin/npx-cli.js \"\$1/usr/local/bin/npx\"" \
    --customize-hook="touch \"\$1/usr/local/etc/npmrc\"" \
    --customize-hook="rm -rf \"\$1/etc/resolv.conf\" \"\$1/etc/hostname\"; chroot \"\$1\" useradd --create-home --uid 1000 --shell /bin/bash node" \
    trixie - "${mirror[@]}" </dev/null |
    (as_user root podman import --quiet --change 'CMD ["node"]' \
      --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - localhost/node:24-slim) >/dev/null
}

# ---- pgo --------------------------------------------------------------------------------------------------------------

pgo_image() {
  [ -e "$checkout/Containerfile" ] || fail "no Containerfile in $checkout"
  local bundle=${NODE_EXTRA_CA_CERTS:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
  (cd "$checkout" && context_files | tar --null --files-from=- -c) | unpack /tmp/context
  npm_settings | write_file root /tmp/npmrc 600
  write_file root /tmp/ca-certificates.crt 644 <"$bundle"
  (as_user root mkdir -p /var/cache/npm)
  # Mounted over files that the base image has, so nothing of them remains in the image.
  if ! with_network podman build --network host \
    --build-arg BASE=localhost/node:24-slim --build-arg GENERATOR_FROM=localhost/test/generator:latest \
    --volume /tmp/npmrc:/usr/local/etc/npmrc:ro --volume /tmp/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro \
    --volume /var/cache/npm:/var/cache/npm --tag localhost/pgo:latest /tmp/context >"$directory/build.log" 2>&1; then
    cat "$directory/build.log" >&2
    fail "$checkout/Containerfile does not build"
  fi
}

# What the machine's npm knows about reaching its registry, as a global npmrc.
npm_settings() {
  echo "registry=$(npm config get registry)"
  echo "cafile=/etc/ssl/certs/ca-certificates.crt"
  echo "cache=/var/cache/npm"
  echo "update-notifier=false"
  grep -hE '^(@|//)' "${HOME:-/root}/.npmrc" 2>/dev/null || true
}
