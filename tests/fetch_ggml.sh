#!/usr/bin/env bash
# ggml's shared libraries in target/ggml, for the tests of devices: ggml itself, its CPU code, and its RPC backend. They
# are built from the source that the pinned crate llama-cpp-sys-2 carries (a minute on two cores; needs cmake and a C++
# compiler). Further arguments go to cmake, say -DGGML_CUDA=ON or -DGGML_VULKAN=ON.
#
#   tests/fetch_ggml.sh && R1_GGML_LIB_DIR=target/ggml cargo run --release -p r1 -- devices
#
# With --prebuilt, fetches the libraries that the npm package @node-llama-cpp/linux-x64 carries instead: no RPC backend,
# but CPU code for every kind of processor.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/target/ggml

if [ "${1:-}" = --prebuilt ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && npm pack --silent @node-llama-cpp/linux-x64@3.22.1 >/dev/null && tar xzf ./*.tgz)
  mkdir -p "$out-prebuilt"
  find "$work/package" -name 'libggml*.so*' -exec cp {} "$out-prebuilt/" \;
  echo "$out-prebuilt"
  exit
fi

if ! command -v cmake >/dev/null; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends cmake make >/dev/null
fi
manifest=$(cargo metadata --format-version 1 --locked --manifest-path kernels/ggml/Cargo.toml --features link |
  grep -o '"manifest_path":"[^"]*llama-cpp-sys-2[^"]*/Cargo.toml"' | head -1 | cut -d'"' -f4)
source=$(dirname "$manifest")/llama.cpp/ggml
build=$PWD/target/ggml-build
cmake -S tests/ggml -B "$build" -DGGML_SOURCE_DIR="$source" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
  -DGGML_BACKEND_DL=ON -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF -DGGML_RPC=ON -DGGML_CUDA_GRAPHS=ON \
  -DGGML_CUDA_NCCL=OFF -DGGML_CUDA_FA_QUANTS=f16-f16 "$@" >"$build.log" 2>&1 ||
  { tail -20 "$build.log"; exit 1; }
cmake --build "$build" --parallel "$(nproc)" >>"$build.log" 2>&1 || { tail -30 "$build.log"; exit 1; }
mkdir -p "$out"
cp -P "$build"/bin/libggml*.* "$out/"
# For the comparison of r1-ggml's table of functions with them.
mkdir -p "$out/include"
cp "$source"/include/*.h "$source/src/ggml-impl.h" "$out/include/"
echo "$out"
