#!/bin/sh
set -eu
rsync -a "$(dirname "$0")/../" root@box:/etc/containers/systemd/
ssh root@box systemctl daemon-reload
