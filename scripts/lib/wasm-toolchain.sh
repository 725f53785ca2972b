# Sourced where code is compiled for the Worker: selects a Rust toolchain with the target.

wasm_target=wasm32-unknown-unknown

# compiles_wasm RUSTC…: whether this compiler has the target's standard library.
compiles_wasm() {
  ls "$("$@" --print target-libdir --target $wasm_target 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1
}

# Keeps rustup's default toolchain if it has the target, else selects `wasm`, which scripts/wasm-target creates. Fails
# when neither has it.
select_wasm_toolchain() {
  compiles_wasm rustc && return
  compiles_wasm rustup run wasm rustc || return
  RUSTUP_TOOLCHAIN=wasm
  export RUSTUP_TOOLCHAIN
}
