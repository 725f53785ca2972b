//! `sandbar-bindgen WASM DIRECTORY`: writes `index.js` and `index_bg.wasm` of the Worker's compiled
//! crate into a directory.
//!
//! The `wasm-bindgen` CLI and `worker-build` do the same. Compiling them takes minutes, most of it
//! for their code for downloads and tests, which a build here does not need. The library behind the
//! CLI takes a few seconds.

use std::env;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [wasm, directory] = arguments.as_slice() else {
        eprintln!("usage: sandbar-bindgen WASM DIRECTORY");
        return ExitCode::FAILURE;
    };
    let mut bindgen = Bindgen::new();
    let generated = bindgen
        // An ES module that imports the Wasm as a module, as Workers do.
        .module(true)
        .and_then(|bindgen| {
            bindgen
                .input_path(wasm)
                .out_name("index")
                .typescript(false)
                // For src/entry.js, which goes on after a panic: a function that creates a new
                // instance, and calls of the handler that the `worker` crate sets.
                .reset_state_function(true)
                .force_enable_abort_handler(true)
                .generate(directory)
        });
    match generated {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbar-bindgen: {error:?}");
            ExitCode::FAILURE
        }
    }
}
