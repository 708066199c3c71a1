//! Any bytes as an aws-chunked body, in any cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let mut decoder = sigv4::ChunkedDecoder::unsigned(sigv4::ChunkLimits::default());
    let mut out = Vec::new();
    for part in data.chunks(usize::from(*cut).max(1)) {
        if decoder.push(part, &mut out).is_err() {
            return;
        }
    }
    let _ = decoder.finish();
});
