#!/usr/bin/env bash
# 64-bit ARM on any machine.
#
#   tests/arm64.sh             type-checks the libraries
#   tests/arm64.sh run         runs the kernels' tests in qemu as well: on a processor with matrix products of bytes, one
#                              with dot products, one with neither
#   tests/arm64.sh run ARGS    runs `cargo test ARGS` in qemu instead, on the first of them: -p r1core --test same_bits
#
# Takes the standard library of that target from rustc where it has it, else from Debian's packages (unpacked under
# target/, nothing is installed). `run` needs a cross linker and qemu; as root on Debian or Ubuntu it installs them. What
# cannot be had is named, and the step is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
packages=(-p r1-kernels -p r1core -p r1-ffi)
export RUSTFLAGS="-D warnings"

skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit 0
}

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
  for package in *.deb; do dpkg -x "$package" "$dir/unpacked"; done
  # Finds its root from where it lies, so that the folder can be copied.
  printf '#!/bin/sh\nd=${0%%/*}/unpacked/usr\nLD_LIBRARY_PATH=$d/lib/x86_64-linux-gnu exec "$d/bin/rustc" "$@"\n' >"$dir/rustc"
  chmod +x "$dir/rustc"
)

if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
  if [ ! -x "$dir/rustc" ]; then
    if ! command -v apt-get >/dev/null || [ ! -e /etc/apt/sources.list.d/debian.sources ]; then
      skip "rustc has no standard library for $target (rustup target add $target)"
    fi
    fetch || true
  fi
  [ -x "$dir/rustc" ] || skip "Debian's packages could not be fetched, and rustc has no standard library for $target"
  export RUSTC=$dir/rustc CARGO_TARGET_DIR=target/arm64-debian
fi
cargo check --quiet --target "$target" "${packages[@]}"
echo "checked for $target with $("${RUSTC:-rustc}" --version)"

[ "${1:-}" = run ] || exit 0
shift

emulator() { command -v qemu-aarch64-static || command -v qemu-aarch64 || true; }
missing=()
command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu)
[ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] || missing+=(libc6-dev-arm64-cross)
[ -n "$(emulator)" ] || missing+=(qemu-user-static)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    (apt-get update -qq && apt-get install -y -qq "${missing[@]}") >/dev/null 2>&1 || true
  fi
  if [ -z "$(emulator)" ] || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    skip "running the kernels needs the packages ${missing[*]}"
  fi
fi
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc

# test_on PROCESSOR ARGS: `cargo test ARGS` on a processor.
test_on() {
  local cpu=$1
  shift
  printf '\n-- %s on %s\n' "$*" "$cpu"
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$(emulator) -cpu $cpu -L /usr/aarch64-linux-gnu" \
    cargo test --quiet --target "$target" "$@"
}

if [ $# -gt 0 ]; then
  test_on max "$@"
else
  # The first runs every set of kernels; the others show that they are told apart, and the one meant for them.
  test_on max -p r1-kernels --lib --tests
  for cpu in neoverse-n1 cortex-a72; do
    test_on "$cpu" -p r1-kernels --lib --test kernels_agree --test ops_agree -- \
      --skip longer_than_a_cache --skip any_shape
  done
fi
