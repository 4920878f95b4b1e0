#!/bin/sh
# Make the base image of the container tests, where no registry can be reached: Debian bookworm with its
# Python 3.11, from the Debian mirror that this machine's apt uses (or MIRROR=...). Needs root, debootstrap
# and a Docker engine; about 5 minutes.
#
#   tests/container/make_base_image.sh [TAG]      TAG defaults to evergreen-test-base
set -eu

tag="${1:-evergreen-test-base}"
mirror="${MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')}"
if [ -z "$mirror" ]; then
    echo "apt has no source for Debian bookworm main here; name one: MIRROR=... $0" >&2
    exit 2
fi

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,ca-certificates bookworm "$root" "$mirror"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/*
chmod 755 "$root"
tar --create --directory "$root" --exclude=./dev --exclude=./proc --exclude=./sys . |
    docker import --change 'CMD ["python3"]' - "$tag"
