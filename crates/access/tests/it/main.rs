//! The analysis against the engine that decides real calls.

mod agreement;
mod cases;
