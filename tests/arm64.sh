#!/usr/bin/env bash
# Type-checks the libraries for 64-bit ARM, where they run on their scalar path. Takes the standard library of that
# target from rustc where it has it, else from Debian's packages (unpacked under target/, nothing is installed).
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
packages=(-p r1-kernels -p r1core -p r1-ffi)

if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  RUSTFLAGS="-D warnings" cargo check --quiet --target "$target" "${packages[@]}"
  echo "checked for $target"
  exit 0
fi
if ! command -v apt-get >/dev/null || [ ! -e /etc/apt/sources.list.d/debian.sources ]; then
  echo "skipped: rustc has no standard library for $target (rustup target add $target)"
  exit 0
fi

dir=$PWD/target/debian-rust

fetch() (
  set -e
  rm -rf "$dir"
  mkdir -p "$dir"/state/lists/partial "$dir"/cache/archives/partial "$dir"/deb
  : >"$dir/state/status"
  apt=(-o APT::Architectures=amd64,arm64 -o Dir::State="$dir/state" -o Dir::State::status="$dir/state/status"
    -o Dir::Cache="$dir/cache" -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/debian.sources
    -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root)
  cd "$dir/deb"
  apt-get "${apt[@]}" update -qq
  depends() { apt-cache "${apt[@]}" depends "$1" | sed -n "s/.*Depends: \($2\).*/\1/p" | head -1; }
  version=$(depends libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
  llvm=$(depends "$version" 'libllvm[0-9]*')
  apt-get "${apt[@]}" download -qq rustc-web "$version" libstd-rust-web-dev libstd-rust-web-dev:arm64 "$llvm"
  for package in *.deb; do dpkg -x "$package" "$dir/root"; done
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/root/usr/lib/x86_64-linux-gnu exec %s/root/usr/bin/rustc "$@"\n' "$dir" "$dir" \
    >"$dir/rustc"
  chmod +x "$dir/rustc"
)

if [ ! -x "$dir/rustc" ]; then
  fetch || true
fi
if [ ! -x "$dir/rustc" ]; then
  echo "skipped: Debian's packages could not be fetched, and rustc has no standard library for $target"
  exit 0
fi
RUSTC=$dir/rustc CARGO_TARGET_DIR=target/arm64-debian RUSTFLAGS="-D warnings" cargo check --quiet --target "$target" "${packages[@]}"
echo "checked for $target with $("$dir/rustc" --version)"
