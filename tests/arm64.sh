#!/usr/bin/env bash
# Type-checks the library for 64-bit ARM on its scalar path, where rustc has that target's standard library.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  echo "skipped: rustc has no standard library for $target (rustup target add $target)"
  exit 0
fi
cargo check --quiet --target "$target" -p r1-kernels -p r1core -p r1-ffi
echo "checked for $target"
