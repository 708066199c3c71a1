//! The URL under which the outside reaches this server, for what names the server itself: issuers of tokens.

use std::sync::{Arc, OnceLock};

/// A URL without a slash at its end. It is configured, or else known as soon as the server listens.
#[derive(Clone, Debug, Default)]
pub struct PublicUrl(Arc<OnceLock<String>>);

impl PublicUrl {
    pub fn new(url: &str) -> Self {
        let this = Self::default();
        this.settle(url);
        this
    }

    /// Says it, unless it was said before.
    pub fn settle(&self, url: &str) {
        let _ = self.0.set(url.trim_end_matches('/').to_owned());
    }

    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_stays() {
        let configured = PublicUrl::new("https://bailiwick.example/");
        configured.settle("https://127.0.0.1:4566");
        assert_eq!(configured.get(), Some("https://bailiwick.example"));
        let told_later = PublicUrl::default();
        assert_eq!(told_later.get(), None);
        told_later.clone().settle("https://127.0.0.1:4566");
        assert_eq!(told_later.get(), Some("https://127.0.0.1:4566"), "clones share it");
    }
}
