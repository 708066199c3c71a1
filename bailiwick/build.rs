//! What the linker is told.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // The compiler brings its own linker for this target, unless somebody chooses another one.
    let has_own_linker = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("linker") || flags.contains("fuse-ld"));
    if is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu") && !has_own_linker {
        // Functions that came out the same are kept once: above all those that drop values, of which each unit of each crate has its own.
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
