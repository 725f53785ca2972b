# Sourced where something is compiled for the Worker: finds the Rust toolchain that can.

wasm_target=wasm32-unknown-unknown

# compiles_wasm RUSTC…: whether that compiler has the target's standard library.
compiles_wasm() {
  ls "$("$@" --print target-libdir --target $wasm_target 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1
}

# Leaves rustup's choice of toolchain alone when it has the target, else takes `wasm`, which scripts/wasm-target makes.
# False when there is neither.
select_wasm_toolchain() {
  compiles_wasm rustc && return
  compiles_wasm rustup run wasm rustc || return
  RUSTUP_TOOLCHAIN=wasm
  export RUSTUP_TOOLCHAIN
}
