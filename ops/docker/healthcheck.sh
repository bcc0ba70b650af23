#!/bin/bash
# Asks the admin listener of this container whether the program is ready: healthcheck.sh PORT
# Plain bash, so that the image needs no HTTP client.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$1" >&3
read -r -t 2 _ status _ <&3
[[ $status == 200 ]]
