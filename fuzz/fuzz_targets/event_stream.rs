//! Any bytes as event-stream frames, in any cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let mut decoder = wire::event_stream::Decoder::new();
    for part in data.chunks(usize::from(*cut).max(1)) {
        decoder.push(part);
        while let Ok(Some(message)) = decoder.next_message() {
            let _ = wire::event_stream::encode(&message);
        }
    }
});
