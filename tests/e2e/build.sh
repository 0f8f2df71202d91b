#!/bin/bash
# Builds stages of the project's Dockerfile without network, from the programs in ZEI_BIN_DIR.
#
#   build.sh STAGE BASE TAG LIST     builds STAGE on the image BASE; LIST gets the ids of what was made
#   build.sh remove LIST             removes all that
#
# The context is made for this, so that the programs can come from anywhere. Docker without BuildKit
# builds the `builder` stage too; with BINARIES=prebuilt that does nothing, on any base with a shell.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ "$1" = remove ]; then
    # Newest first: a parent can only go after its children. Base images carry a name of their own.
    tac "$2" | while read -r id; do
        case "$id" in
        *:*) docker rmi "$id" ;;
        *) [ "$(docker image inspect -f '{{len .RepoTags}}' "$id")" != 0 ] || docker rmi "$id" ;;
        esac >/dev/null 2>&1 || :
    done
    exit 0
fi

stage=$1 base=$2 tag=$3 list=$4
context=$(mktemp -d /tmp/zei-e2e-context.XXXXXX)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/target/dist"
cp "$here/../../Dockerfile" "$here/../../.dockerignore" "$here/../../LICENSE" "$context/"
cp "${ZEI_BIN_DIR:?}"/zei-* "$context/target/dist/"
docker build --network none --build-arg BINARIES=prebuilt --build-arg RUST_IMAGE="$base" --build-arg RUNTIME_IMAGE="$base" \
    --target "$stage" -t "$tag" "$context" | tee "$context/log"
sed -n 's/^ ---> \([0-9a-f]\{12\}\)$/\1/p' "$context/log" >>"$list"
echo "$tag" >>"$list"
