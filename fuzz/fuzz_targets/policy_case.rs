//! Any line as an authorization case.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let _ = policy::cases::decide_line(line);
});
