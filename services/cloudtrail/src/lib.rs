//! cloudtrail
